"""How a command ends: exit codes, and one line on stderr when it ends badly."""

import errno
import sys

from micle_tf.errors import BadInput, Stopped

DONE, STOPPED, BAD_INPUT, PREEMPTED = 0, 1, 2, 75
_DISK_FAILURES = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO)


def guarded(command):
    """Calls a function; returns how it ended as an exit code, with a line on stderr if badly."""
    try:
        command()
        return DONE
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except Stopped as error:
        print(f"stopped: {error}", file=sys.stderr)
        return STOPPED
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from the last checkpoint", file=sys.stderr)
        return PREEMPTED
    except Exception as error:
        reason = _outside(error)
        if reason is None:
            raise
        print(f"stopped: {reason}", file=sys.stderr)
        return STOPPED


def _outside(error):
    """One line on a failure of the disk or the memory; None if it is a fault of ours."""
    if isinstance(error, OSError) and error.errno in _DISK_FAILURES:
        return " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return "out of memory"
    if "tensorflow" in sys.modules:
        import tensorflow as tf

        if isinstance(error, tf.errors.ResourceExhaustedError):
            return f"out of memory or disk: {error.message.splitlines()[0][:200]}"
        if isinstance(error, (tf.errors.PermissionDeniedError, tf.errors.FailedPreconditionError)):
            return error.message.splitlines()[0][:200]
    return None
