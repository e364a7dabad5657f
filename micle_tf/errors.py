"""The two ways a command ends badly, each with one line for a person."""


class BadInput(Exception):
    """What the user gave cannot be used: exit code 2, nothing written.

    The message is one line that names the flag, file or row, and what to do.
    """


class Stopped(Exception):
    """The run was stopped by something outside it (NaN loss, full disk): exit code 1."""
