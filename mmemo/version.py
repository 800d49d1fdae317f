"""The version of mmemo."""

__version__ = "0.1.0"
