"""The workers of one job as processes of this machine, that talk over loopback."""

import contextlib
import json
import random
import socket
import time

from tests.warm_processes import FreshProcess

PATIENCE = 300  # seconds that anything may take on a busy machine, unless a test is about them


class WorkerProcess:
    """One started worker; `address` is its "host:port"."""

    def __init__(self, start, arguments, addresses, index):
        self.address = addresses[index]
        cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = {"TF_CONFIG": json.dumps(cluster), "CUDA_VISIBLE_DEVICES": ""}
        self._process = start(*arguments, env=environment)
        self.send_signal, self.kill = self._process.send_signal, self._process.kill

    @property
    def out(self):
        """What it has written to stdout so far."""
        return self._process.out

    @property
    def err(self):
        """What it has written to stderr so far."""
        return self._process.err

    @property
    def is_running(self):
        return self._process.poll() is None

    def wait(self, seconds=PATIENCE):
        """Its exit code; fails if it takes longer than that."""
        return self._process.wait(seconds)


@contextlib.contextmanager
def started(*arguments, starts=(FreshProcess, FreshProcess)):
    """Starts workers, each `python ARGUMENTS` with a TF_CONFIG of its own.

    Whatever happens inside, they are gone afterwards; if it fails, their output is printed.

    Args:
      *arguments: what to hand to Python.
      starts: what makes a process of them, for each worker: `FreshProcess`, or `start` of a
        `warm_processes.Server`.

    Yields:
      A list of `WorkerProcess`.
    """
    addresses = [f"127.0.0.1:{port}" for port in free_ports(len(starts))]
    workers = []
    try:
        for index, start in enumerate(starts):
            workers.append(WorkerProcess(start, arguments, addresses, index))
        yield workers
    except BaseException:
        for index, worker in enumerate(workers):
            state = "running" if worker.is_running else f"exit code {worker.wait()}"
            print(f"---- worker {index}, {state}\n{worker.out}\n---- its stderr\n{worker.err}")
        raise
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def free_ports(count):
    """Ports that nobody listens on, below those that the system gives to clients.

    Among the latter, a worker that knocks at the port of another one that is not there yet may
    be given this very port, and so answer itself.
    """
    with contextlib.ExitStack() as stack:
        ports = []
        while len(ports) < count:
            port, listener = random.randrange(10_000, 30_000), stack.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                listener.bind(("", port))
                ports.append(port)
        return ports


def wait_until(condition, workers, seconds=PATIENCE):
    """Waits until something holds; fails if it takes too long, or a worker ends before."""
    end = time.monotonic() + seconds
    while not condition():
        assert all(worker.is_running for worker in workers), "a worker ended too early"
        assert time.monotonic() < end, f"not so within {seconds} s"
        time.sleep(0.02)
