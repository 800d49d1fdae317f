"""The one exception that the command line shows without a traceback."""


class InputError(ValueError):
    """Something that the user gave cannot be used: a file, a folder, a value.

    The message says what was expected, what came, where, and what to do about it.
    """
