"""How fast a training goes, and how much of its time it waits for input."""

import contextlib
import time


class Clock:
    """Images per second and the share of time spent waiting for input, between two logs.

    The first call of a process traces the graph, and is not timed. What the devices fetch by
    themselves, in a loop of several steps, is waited for out of sight.

    Args:
      images_per_step: images that go through the model per step, over all replicas.
      devices: replicas.
    """

    def __init__(self, images_per_step, devices):
        self._images, self._devices = images_per_step, devices
        self._started, self._steps, self._waited = None, 0, None

    @contextlib.contextmanager
    def waiting(self):
        """While the next batch is asked for."""
        asked = time.monotonic()
        yield
        self._waited = (self._waited or 0.0) + time.monotonic() - asked

    def took(self, steps):
        """To be told of steps that were taken."""
        if self._started is None:
            self.restart()
        else:
            self._steps += steps

    def restart(self):
        """Counts anew, when what was counted is logged."""
        self._started, self._steps, self._waited = time.monotonic(), 0, None

    def values(self):
        """{"images_per_second", "images_per_second_per_device", "input_wait"}; {} at first."""
        if not self._steps:
            return {}
        spent = time.monotonic() - self._started
        rate = self._steps * self._images / spent
        wait = {} if self._waited is None else {"input_wait": self._waited / spent}
        each = {"images_per_second": rate, "images_per_second_per_device": rate / self._devices}
        return each | wait


def speed(values):
    """ " 1,252/s wait 1%": what is logged of the speed, for the text beside the bar."""
    text = f" {values['images_per_second']:,.0f}/s" if "images_per_second" in values else ""
    return text + (f" wait {values['input_wait']:.0%}" if "input_wait" in values else "")
