"""Signals that ask a training to stop: what is under way is finished and saved first."""

import contextlib
import os
import signal
import threading
import time

import tensorflow as tf

from micle_tf.exits import ECHO, SIGNALS, end_at_once, in_main_thread

_NAME = "stop request"  # of the thread that listens


class StopRequest:
    """While it is entered, SIGTERM or SIGINT sets `signal_name`; a second one, more than
    a second later, ends the process.

    Python runs a signal's handler only between two steps of the interpreter, which a training
    step on the devices can put off for long. So a thread of its own listens, through
    `signal.set_wakeup_fd`. In another thread than the main one nothing is listened to.

    Attributes:
      signal_name: "SIGTERM" or "SIGINT" once it came, before that "".
    """

    def __init__(self):
        self.signal_name = ""
        self._interrupts = False
        self._undo = contextlib.ExitStack()

    def __enter__(self):
        if not in_main_thread():
            return self
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        listen = threading.Thread(target=self._listen, args=(reader,), name=_NAME, daemon=True)
        self._undo.callback(listen.join, 1)  # undone last
        self._undo.callback(os.close, writer)  # which ends the thread
        old = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self._undo.callback(signal.set_wakeup_fd, old)
        for number in SIGNALS:
            self._undo.callback(signal.signal, number, signal.signal(number, self._interrupt))
        listen.start()
        return self

    def __exit__(self, kind, failure, traceback):
        self._undo.close()
        # Nobody has answered the request; or, of several workers that were told to stop, another
        # one was faster.
        if self.signal_name and (failure is None or isinstance(failure, tf.errors.OpError)):
            raise KeyboardInterrupt from None

    @contextlib.contextmanager
    def interrupting(self):
        """Inside, a signal raises KeyboardInterrupt, for work that can be done again."""
        self._interrupts = True
        try:
            if self.signal_name:
                raise KeyboardInterrupt
            yield
        finally:
            self._interrupts = False

    def _interrupt(self, number, frame):
        if self._interrupts:
            raise KeyboardInterrupt

    def _listen(self, reader):
        echo_until = 0.0
        with open(reader, "rb", buffering=0) as numbers:
            while number := numbers.read(1):
                if number[0] not in SIGNALS or time.monotonic() < echo_until:
                    continue
                if self.signal_name:
                    end_at_once("interrupted: at once, by a second signal")
                echo_until = time.monotonic() + ECHO
                self.signal_name = signal.Signals(number[0]).name
