"""The ways a command ends before it is done, each with one line for a person."""


class BadInput(Exception):
    """What the user gave cannot be used: exit code 2, nothing written.

    The message is one line that names the flag, file or row, and what to do.
    """


class Held(BadInput):
    """Another process is at work in the run directory."""


class Stopped(Exception):
    """The run was stopped by something outside it (NaN loss, full disk): exit code 1."""


class Preempted(Exception):
    """A signal asked the run to stop, and what it did is saved: exit code 75."""
