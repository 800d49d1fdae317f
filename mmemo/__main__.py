"""Run the command line as ``python -m mmemo``."""

from mmemo.cli import main

if __name__ == "__main__":
    main()
