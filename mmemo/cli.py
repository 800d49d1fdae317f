"""The command line: ``mmemo <command> [overrides]``."""

from __future__ import annotations

import atexit
import gc
import sys
from difflib import get_close_matches
from importlib.util import find_spec

from mmemo.commands.completion import FLAGS, complete
from mmemo.errors import InputError

COMMANDS = {
    "train": "prepare what is missing, train, evaluate, write the report",
    "prepare": "decode, denoise and resample a corpus once, for all runs",
    "audit": "count and check a corpus: annotations, overlaps between splits, clips",
    "evaluate": "evaluate a run again, or on another corpus: run=DIR, corpus=NAME",
    "predict": "answer on files, recordings and words of your own: run=DIR input=FILE",
    "serve": "answer on a page in the browser: run=DIR",
    "explain": "explain a run's predictions, and check the explanations: run=DIR",
    "stress": "a run when sound is bad, words are wrong, a modality is missing: run=DIR",
    "export": "write a run for other programs: run=DIR format=onnx|huggingface",
    "compare": "compare runs: seeds, intervals, tests, figures, LaTeX: FOLDER ...",
}

USAGE = f"""\
mmemo: emotion recognition in speech and text, from raw clips to an honest report

usage: mmemo <command> [option=name] [key=value] ...

commands:
{chr(10).join(f"  {name:<10}{summary}" for name, summary in COMMANDS.items())}

examples:
  mmemo train experiment=demo
  mmemo train experiment=paper corpus.root=/data/MELD.Raw seed=42
  mmemo prepare corpus=meld corpus.root=/data/MELD.Raw
  mmemo audit corpus=meld corpus.annotations=/data/MELD.Raw
  mmemo predict run=outputs/demo/RUN input=clip.wav text="I am fine."
  mmemo explain run=outputs/demo/RUN one_per_class=true faithfulness=true
  mmemo compare outputs/paper

`mmemo <command> --help` shows the options and settings of a command.
`eval "$(mmemo -sc install=bash)"` completes them by the tab key (also install=zsh).\
"""


def main() -> None:
    """Run one command; heavy libraries are imported only by the command itself."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE)
        sys.exit(0 if arguments else 2)
    if arguments[0] in ("-V", "--version"):
        from mmemo.version import __version__

        print(f"mmemo {__version__}")
        return
    if set(FLAGS) & set(arguments):
        try:
            complete(arguments, COMMANDS)
        except InputError as error:
            print(f"mmemo: error: {error}", file=sys.stderr)
            sys.exit(1)
        return
    command = arguments[0]
    if command not in COMMANDS or find_spec(f"mmemo.commands.{command}") is None:
        near = get_close_matches(command, COMMANDS, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        print(
            f"mmemo: expected a command, one of {', '.join(COMMANDS)}; got '{command}'{hint}\n\n"
            f"{USAGE}"
        )
        sys.exit(2)
    if {"-h", "--help"} & set(arguments):
        _show_help(command, arguments[1:])
        return
    from mmemo.training.stop_signals import Stopped, stopped_at_once

    # What is imported stays, and is not looked through: neither now, nor when the process ends.
    atexit.register(gc.freeze)
    gc.disable()
    try:
        with stopped_at_once():
            from mmemo.commands.launch import launch

            launch(command, arguments[1:])
    except Stopped as stop:
        print(f"mmemo: stopped by {stop}; what was finished is kept", file=sys.stderr)
        raise
    finally:
        gc.enable()


def _show_help(command: str, arguments: list[str]) -> None:
    from mmemo.commands.command_help import command_help
    from mmemo.folders import config_dir

    try:
        print(command_help(command, COMMANDS[command], arguments, config_dir()))
    except InputError as error:
        print(f"mmemo: error: {error}", file=sys.stderr)
        sys.exit(1)
