"""Python in processes of their own: fresh ones, and ones that begin with TensorFlow loaded.

To load it takes a process four seconds of a CPU. A server that has loaded it, and has let it begin
nothing yet, forks for each command: into a process with a number, signals, an environment, a folder
and an exit code of its own. What a command does before it loads TensorFlow is for fresh ones, and
so is what may hang on the hashes of strings, which differ from one to the next.

    python -m tests.warm_processes DESCRIPTOR MODULE...    # the server, and what it has loaded

is asked on the socket of that descriptor.
"""

import contextlib
import gc
import importlib
import multiprocessing
import os
import pathlib
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection

ROOT = pathlib.Path(__file__).parents[1]
MODES = ("evaluate", "export", "finetune", "linear_eval", "prepare", "pretrain", "study")
COMMANDS = ["tensorflow", "pytest", *(f"micle_tf.modes.{mode}" for mode in MODES)]


class _Process:
    """What both kinds have beside what `subprocess.Popen` has.

    Where a `with` ends, they are killed, and what they wrote is gone.
    """

    @property
    def out(self):
        """What it has written to stdout so far."""
        return _content(self._files[0])

    @property
    def err(self):
        """What it has written to stderr so far."""
        return _content(self._files[1])

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.kill()
        self.wait()
        for file in self._files:
            file.close()


def _two_files():
    """For stdout and stderr; without names, so that they are gone with whoever holds them."""
    return [tempfile.TemporaryFile() for _ in range(2)]


def _content(file):
    """Reads from the start, and leaves the place where others write as it is."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")


class FreshProcess(_Process, subprocess.Popen):
    """`python ARGUMENTS`.

    Args:
      *arguments: "-m", a module and its arguments; or "-c", a source and its arguments.
      cwd: the folder to run in.
      env: what differs from the environment of this process.
    """

    def __init__(self, *arguments, cwd=ROOT, env=None):
        self._files = out, err = _two_files()
        command = [sys.executable, *map(str, arguments)]
        super().__init__(command, cwd=cwd, env=os.environ | (env or {}), stdout=out, stderr=err)


class WarmProcess(_Process):
    """The same from a `Server`, with those parts of `subprocess.Popen` that tests need."""

    def __init__(self, server, *arguments, cwd=ROOT, env=None):
        self._files = _two_files()
        self._line, theirs = multiprocessing.Pipe()
        with theirs:
            files = [file.fileno() for file in (theirs, *self._files)]
            socket.send_fds(server, [b"."], files)
        self._line.send(([*map(str, arguments)], str(cwd), os.environ | (env or {})))
        self.pid, self.returncode = self._line.recv(), None

    def poll(self):
        """Its exit code, or minus the number of the signal that ended it; None while it runs."""
        if self.returncode is None and self._line.poll():
            with self._line:  # on which nothing else comes
                self.returncode = self._line.recv()
        return self.returncode

    def wait(self, timeout=None):
        """What `poll` returns in the end; raises subprocess.TimeoutExpired after some seconds."""
        if self.returncode is None and not self._line.poll(timeout):
            raise subprocess.TimeoutExpired("a warm process", timeout)
        return self.poll()

    def send_signal(self, number):
        """Sends a signal, if it has not ended before."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # since then
                os.kill(self.pid, number)

    def kill(self):
        """Ends it at once."""
        self.send_signal(signal.SIGKILL)


class Server:
    """Makes `WarmProcess`es; those that are left where its `with` ends are killed, and it fails.

    Args:
      modules: names of what they have loaded; none of them may begin devices, or threads that
        last: of numpy's, OpenBLAS ends its own before a fork, so that no lock stays held.
    """

    def __init__(self, modules=COMMANDS):
        self._modules = modules

    def __enter__(self):
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.warm_processes", str(theirs.fileno()),
                 *self._modules],
                cwd=ROOT, pass_fds=[theirs.fileno()], start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip
        return self

    def __exit__(self, *error):
        self._socket.close()  # by which it knows
        code = self._process.wait()
        assert code != -signal.SIGKILL, "a test left a warm process behind, which was killed"
        assert code == 0, f"the server of warm processes ended with {code}"

    def start(self, *arguments, **options):
        """As `FreshProcess`."""
        return WarmProcess(self._socket, *arguments, **options)


# ---------------------------------------------------------------- in the server


def _serve(asked):
    """Forks for each request; returns what one of them asks for in the process that is to do it."""
    while files := socket.recv_fds(asked, 1, 3)[1]:
        if os.fork() == 0:
            asked.close()
            return _watched(*files)
        for file in files:
            os.close(file)
        _some_are_left()
    end = time.monotonic() + 10  # for those that are about to be gone
    while _some_are_left():
        if time.monotonic() > end:  # a test has left it, or the tests were killed
            os.killpg(0, signal.SIGKILL)
        time.sleep(0.02)
    os._exit(0)


def _some_are_left():
    """Whether a child still runs; of those that do not, nothing stays."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _watched(line, out, err):
    """Forks once more: one waits for the other, and tells its exit code."""
    with Connection(line) as told:
        request = told.recv()
        if pid := os.fork():
            told.send(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            os._exit(0)
        for number, file in enumerate((out, err), 1):
            os.dup2(file, number)
            os.close(file)
        told.send(os.getpid())  # not before: Python forgets signals that come while it forks
    return request


def _run(arguments, folder, environment):
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    kind, program, *rest = arguments
    sys.argv = [kind, *rest]
    if kind == "-m":
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        exec(program, {"__name__": "__main__"})


def main(descriptor, modules):
    """Loads modules and serves."""
    for name in modules:
        importlib.import_module(name)
    gc.freeze()
    _run(*_serve(socket.socket(fileno=descriptor)))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
