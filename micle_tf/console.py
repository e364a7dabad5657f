"""What a person sees while a command runs: lines, bars, and quiet when nobody watches."""

import os
import sys
import time

from tqdm import tqdm

_muted = False


def mute():
    """Silences `say` and `Progress` from now on, in a process whose output nobody reads."""
    global _muted
    _muted = True


def say(text="", file=None):
    """Prints a line to stdout (or `file`) at once, above any bar."""
    if _muted:
        return
    file = file or sys.stdout
    tqdm.write(text, file=file)
    file.flush()


def count(number, noun):
    """ "1 case", "1,234 cases"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def flag_value(value):
    """A value as it is typed after a flag: true, 0.5, text."""
    return str(value).lower() if isinstance(value, bool) else value


def duration(seconds):
    """Seconds as "42 s", "3 min 20 s" or "2 h 5 min"."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _is_terminal(file):
    """Whether a bar can be drawn: a terminal, and one that has a size."""
    try:
        return file.isatty() and os.get_terminal_size(file.fileno()).columns > 0
    except (OSError, ValueError):
        return False


class Progress:
    """A bar with an ETA on a terminal; elsewhere a plain line every half minute.

    Args:
      label: what is going on, at the left of the bar.
      total: how many units there are.
      unit: the name of one ("step", "image").
      done: how many were done before, by a run that is now resumed.
    """

    def __init__(self, label, total, unit="it", done=0, line_every=30.0):
        self._label, self._total, self._unit, self._done = label, total, unit, done
        self._first, self._start = done, time.monotonic()
        self._line_every, self._last_line = line_every, time.monotonic()
        self._note, self._file = "", sys.stdout
        self._bar = None
        if _is_terminal(self._file) and not _muted:
            self._bar = tqdm(
                desc=label,
                total=total,
                initial=done,
                unit=unit,
                file=self._file,
                dynamic_ncols=True,
                leave=True,
                delay=1.0,
                mininterval=0.2,
                bar_format="{desc} {n_fmt}/{total_fmt}|{bar}|{elapsed}<{remaining}{postfix}",
            )

    def update(self, units=1, note=None):
        """Moves on; `note` replaces the text at the right (loss, speed)."""
        self._done += units
        if note is not None:
            self._note = note
        if self._bar is not None:
            if note is not None:
                self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(units)
        elif time.monotonic() - self._last_line >= self._line_every:
            self._last_line = time.monotonic()
            say(self._line(), self._file)

    def at(self, done, total):
        """Moves to `done` of `total`, for callbacks that tell both."""
        self._total = total
        if self._bar is not None:
            self._bar.total = total
        self.update(done - self._done)

    def _line(self):
        spent = time.monotonic() - self._start
        rate = (self._done - self._first) / max(spent, 1e-9)
        left = f", {duration((self._total - self._done) / rate)} left" if rate else ""
        note = f": {self._note}" if self._note else ""
        return f"{self._label} {self._done:,}/{self._total:,} {self._unit}s{left}{note}"

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        if self._bar is not None:
            self._bar.close()
        elif (
            failure[0] is None
            and self._done > self._first
            and (self._note or time.monotonic() - self._start > 2)
        ):
            say(self._line(), self._file)
