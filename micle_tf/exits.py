"""How a command ends: exit codes, and one line on stderr when it ends badly."""

import argparse
import contextlib
import errno
import os
import re
import signal
import sys
import threading
import time

from micle_tf.errors import BadInput, Preempted, Stopped

DONE, STOPPED, BAD_INPUT, PREEMPTED = 0, 1, 2, 75
SIGNALS = (signal.SIGTERM, signal.SIGINT)  # that ask a command to end
_DISK_FAILURES = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO)


def guarded(command, end=lambda code: code):
    """Calls a function; returns how it ended as an exit code, with a line on stderr if badly.

    Args:
      command: a function of nothing.
      end: is called with the exit code while what a failed command held is still there, and
        gives what to return; `leave` ends the process.
    """
    try:
        with _signals_handled():
            command()
        return end(DONE)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return end(BAD_INPUT)
    except Stopped as error:
        print(f"stopped: {error}", file=sys.stderr)
        return end(STOPPED)
    except Preempted as error:
        print(f"interrupted: {error}", file=sys.stderr)
        return end(PREEMPTED)
    except KeyboardInterrupt:
        print(_INTERRUPTED, file=sys.stderr)
        return end(PREEMPTED)
    except BrokenPipeError:
        print("stopped: the output goes into a closed pipe", file=sys.stderr)
        return end(STOPPED)
    except Exception as error:
        reason = _outside(error)
        if reason is None:
            raise
        print(f"stopped: {reason}", file=sys.stderr)
        return end(STOPPED)


class ArgumentParser(argparse.ArgumentParser):
    """argparse's, but bad usage is BadInput, as `guarded` wants it."""

    def error(self, message):
        raise BadInput(message)


def leave(code):
    """Ends this process with an exit code, and leaves what it holds to the system.

    TensorFlow takes up to a minute to free the iterator of several replicas, in which no
    signal is heard: too long for machines that are about to be taken away.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BrokenPipeError):
            stream.flush()
    os._exit(code)


_INTERRUPTED = "interrupted: the same command goes on from the last checkpoint"
_GRACE = 15.0  # seconds in which an interrupted command has to clean up
# Seconds within which a second signal is the echo of the first: `timeout` and schedulers send one
# to a process, and once more to its group.
ECHO = 1.0
_last_resort = None  # the timer that ends the process then; none before a signal came
_first_at = 0.0  # when it came


def interrupt_on_sigterm():
    """Makes SIGTERM a KeyboardInterrupt, as SIGINT is; only the main thread can."""
    if in_main_thread():
        signal.signal(signal.SIGTERM, _raise_interrupt)


def is_ending():
    """Whether a signal has asked this command to end."""
    return _last_resort is not None


def in_main_thread():
    """Whether this is the thread that may handle signals."""
    return threading.current_thread() is threading.main_thread()


@contextlib.contextmanager
def _signals_handled():
    """Inside, SIGTERM and SIGINT raise KeyboardInterrupt, a second one ends the process."""
    global _last_resort
    if not in_main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in before:
        signal.signal(number, _raise_interrupt)
    hook, show = sys.unraisablehook, sys.excepthook
    sys.unraisablehook = lambda lost: _lost_interrupt(lost, hook)
    # By which native code prints what it makes of an interrupt within it, before it goes on.
    sys.excepthook = lambda *error: None if _comes_of_interrupt(error[1]) else show(*error)
    try:
        yield
    except Exception:
        if _last_resort:  # native code makes other errors of what its callbacks raise
            raise KeyboardInterrupt from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
        sys.unraisablehook, sys.excepthook = hook, show
        if _last_resort:
            _last_resort.cancel()
            _last_resort = None


def _raise_interrupt(number, frame):
    global _last_resort, _first_at
    if _last_resort:
        if time.monotonic() - _first_at < ECHO:
            return
        end_at_once()
    _first_at = time.monotonic()
    # An exception in a callback of native code gets lost; this process must end all the same.
    _last_resort = threading.Timer(_GRACE, end_at_once)
    _last_resort.daemon = True
    _last_resort.start()
    raise KeyboardInterrupt


def _comes_of_interrupt(error):
    """Whether a signal came and this is the interrupt, or another error that was made of it.

    Of an interrupt within native code CPython makes a SystemError that may not name it.
    """
    chain = error, error.__cause__, error.__context__
    made = any(isinstance(link, KeyboardInterrupt) for link in chain)
    unnamed = isinstance(error, SystemError) and "with an exception set" in str(error)
    return is_ending() and (made or unnamed)


def _lost_interrupt(lost, hook):
    """Ends the process if what a destructor or an import's callback lost is an interrupt."""
    if issubclass(lost.exc_type, KeyboardInterrupt):
        end_at_once()
    hook(lost)


def end_at_once(line=_INTERRUPTED):
    """Ends this process as an interrupted one, with a line on stderr, and tidies nothing up."""
    print(line, file=sys.stderr, flush=True)
    os._exit(PREEMPTED)


def _outside(error):
    """One line on a failure of disk, memory, network or another worker; None if it is ours."""
    if isinstance(error, OSError) and error.errno in _DISK_FAILURES:
        return " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return "out of memory"
    if "tensorflow" in sys.modules:
        import tensorflow as tf

        message = " ".join(str(error).split())
        told = re.search(r"BadInput: (.*?)(?= Traceback \(most recent|\s*\[\[|$)", message)
        if told and isinstance(error, tf.errors.OpError):  # a file that was damaged since
            return told[1]
        part = re.search(r"\b(libdevice|ptxas)\b.* not found", message)
        if part and isinstance(error, tf.errors.OpError):
            return (
                f"--jit_compile: XLA finds no {part[1]}, a part of CUDA that pip install '.[gpu]' "
                "brings; leave it out, or say where CUDA is by "
                "XLA_FLAGS=--xla_gpu_cuda_data_dir=FOLDER in the environment"
            )
        if isinstance(error, tf.errors.ResourceExhaustedError):
            return f"out of memory or disk: {message[:200]}"
        network = (
            tf.errors.AbortedError,
            tf.errors.CancelledError,
            tf.errors.DeadlineExceededError,
            tf.errors.FailedPreconditionError,
            tf.errors.InternalError,
            tf.errors.UnavailableError,
        )
        lost = _lost_workers(message) if isinstance(error, network) else ""
        if lost:
            return (
                f"{lost} is gone; the same command on all workers goes on from the last checkpoint"
            )
        denied = (tf.errors.PermissionDeniedError, tf.errors.UnauthenticatedError)
        internal = (tf.errors.CancelledError, tf.errors.InternalError)  # faults of ours, else
        if isinstance(error, (*network, *denied, tf.errors.UnknownError)):
            return None if isinstance(error, internal) else message[:200]
    return None


def _lost_workers(message):
    """ "worker 1 (10.0.0.2:2222)": the others that a failed collective operation names, or ""."""
    from micle_tf.cluster import from_environment

    try:
        cluster = from_environment()
    except BadInput:  # alone
        return ""
    tasks = re.findall(r"/job:(\w+)(?:/replica:\d+)?/task:(\d+)", message)
    names = {job if job == "chief" else f"{job} {number}" for job, number in tasks}
    names.discard(list(cluster.addresses)[cluster.index])
    return ", ".join(f"{n} ({host})" for n, host in cluster.addresses.items() if n in names)
