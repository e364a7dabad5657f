"""What a setting of a run may be: fields with their help and bounds, what else is true of them,
when they do anything, and texts like "10m"."""

import dataclasses
import difflib
import enum
import math
import typing
from collections.abc import Callable

from micle_tf.errors import BadInput

# The order and titles of help.
GROUPS = ("run", "data", "model", "training", "evaluation", "export", "machine")
_MOST = 10**12  # steps, minutes: beyond any run


class Tag(enum.Flag):
    """What is true of a setting, said at its field: whoever needs all such settings asks `tagged`.

    Each member says what the settings are that have it.
    """

    NONE = 0
    # Which data it is, and how it is prepared.
    NAMES_DATA = enum.auto()  # names it: where that is another, nothing of DATA is taken over
    CASES = enum.auto()  # which cases there are, not where files are or how they are stored
    READ = enum.auto()  # where the files are, and how they are read
    STORED = enum.auto()  # how images are stored, which is noted beside the prepared data
    STORED_LATER = enum.auto()  # likewise, and there are notes without it
    DATA = NAMES_DATA | CASES | READ | STORED | STORED_LATER
    OF_MANIFEST = enum.auto()  # goes with --manifest alone
    POLICY = enum.auto()  # what a label means
    # What is kept from run to run.
    ENCODER = enum.auto()  # the shape of the encoder, which its weights dictate
    INPUT = enum.auto()  # the shape of its input, which they leave open
    PROJECTION = enum.auto()  # the shape of the projection head
    INHERITED = enum.auto()  # as in the run that one starts from, beside its shapes and its data
    START = enum.auto()  # which weights a run starts from, and what becomes of them
    COMMAND = enum.auto()  # of this one command, which no other takes over
    # Machines.
    DATA_PLACE = enum.auto()  # where data is, on each machine somewhere else
    RUN_PLACE = enum.auto()  # where a run is
    TPU = enum.auto()  # which TPU


class Needs(typing.NamedTuple):
    """When a setting does anything at all.

    Attributes:
      otherwise: how a note goes on where it does nothing: "without --max_image_side".
      met: from a configuration whose values are legal to whether it does something.
    """

    otherwise: str
    met: Callable[..., bool]


def setting(
    default, text, *, group, choices=None, low=None, high=None, volatile=False, only=(),
    by_mode=None, needs=None, common=False, path=False, tags=Tag.NONE,
):  # fmt: skip
    """A field with its help line and what values it takes.

    Args:
      default: the value when neither a recipe nor the command line says otherwise.
      text: one line of help, with the unit and, where there is one, a recommendation.
      group: one of `GROUPS`, under which help lists it.
      choices: the accepted values, if they can be listed.
      low, high: bounds of a number, both included.
      volatile: may differ when a run is resumed, as it cannot change the result: true, or
        the modes of which that holds.
      only: the modes that read it; empty for all. What a mode does not read is
        not compared when its run is resumed.
      by_mode: {mode: default} of the modes that have one of their own.
      needs: `Needs`, beyond the mode; None for nothing.
      common: among the few that --help shows.
      path: a file or folder, of which ~ is the home.
      tags: `Tag`, one or several.
    """
    metadata = {"help": text, "choices": choices, "low": low, "high": high, "volatile": volatile}
    metadata |= {"only": only, "by_mode": by_mode or {}, "needs": needs, "group": group}
    metadata |= {"common": common, "path": path, "tags": tags}
    return dataclasses.field(default=default, metadata=metadata)


def tagged(settings, tags):
    """Names of the fields of a `Config`, or of the class, with one of the tags; in their order."""
    fields = dataclasses.fields(settings)
    return tuple(field.name for field in fields if field.metadata["tags"] & tags)


def options_of(kind, settings, **others):
    """A dataclass of options: `others`, and for its other fields the settings of their names."""
    fields = [field.name for field in dataclasses.fields(kind) if field.name not in others]
    return kind(**{name: getattr(settings, name) for name in fields}, **others)


def nearest(text, names):
    """ "; did you mean NAME?", capitals aside, or "" where none of the names is near."""
    spelled = {str(name).lower(): str(name) for name in names}
    near = difflib.get_close_matches(str(text).lower(), spelled, 1)
    return f"; did you mean {spelled[near[0]]}?" if near else ""


def check_value(field, value):
    """Raises BadInput, naming the flag, for a value that its field does not take."""
    flag, meta = f"--{field.name}={value}", field.metadata
    accepted = (int, float) if field.type is float else field.type
    if not isinstance(value, accepted) or (isinstance(value, bool) and field.type is not bool):
        raise BadInput(f"{flag}: not of type {field.type.__name__}")
    if meta["choices"] and value not in meta["choices"]:
        accepted = ", ".join(str(choice) for choice in meta["choices"])
        raise BadInput(f"{flag}: not one of {accepted}{nearest(value, meta['choices'])}")
    if isinstance(value, float) and not math.isfinite(value):
        raise BadInput(f"{flag}: not a finite number")
    if meta["low"] is not None and value < meta["low"]:
        raise BadInput(f"{flag}: must be at least {meta['low']:g}")
    if meta["high"] is not None and value > meta["high"]:
        raise BadInput(f"{flag}: must be at most {meta['high']:g}")


def parse_every(name, text, units, wanted):
    """Reads a flag that says how often: "10m" with units ("steps", "m", "s").

    Args:
      name: of the flag, for the message.
      text: a whole number from 1 to 1e12 and a unit.
      units: accepted units; one that ends like another comes first.
      wanted: what to give, for the message.

    Returns:
      (number, unit).

    Raises:
      BadInput: the text is something else.
    """
    for unit in units:
        number = text.removesuffix(unit)
        if number != text and number.isdecimal() and 0 < int(number[:99]) <= _MOST:
            return int(number), unit
    raise BadInput(f"--{name}={text}: {wanted}")


def steps_between(name, text, steps_per_epoch):
    """A flag that says how often in epochs or steps, in steps; raises BadInput as above."""
    wanted = "give epochs or steps, as 2epochs or 500steps"
    number, unit = parse_every(name, text, ("epochs", "steps"), wanted)
    return number * steps_per_epoch if unit == "epochs" else number


def parse_range(name, text):
    """Reads "START:STOP", two whole numbers from 1 with START <= STOP; raises BadInput."""
    start, colon, stop = text.partition(":")
    if colon and start.isdecimal() and stop.isdecimal():
        first, last = int(start[:99]), int(stop[:99])
        if 1 <= first <= last <= _MOST:
            return first, last
    raise BadInput(f"--{name}={text}: give the first and the last step, as 20:25")
