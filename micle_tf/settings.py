"""What a setting of a run may be: fields with their help and bounds, and texts like "10m"."""

import dataclasses
import difflib
import math

from micle_tf.errors import BadInput


def setting(
    default, text, *, choices=None, low=None, high=None, volatile=False, only=(), by_mode=None
):
    """A field with its help line and what values it takes.

    Args:
      default: the value when neither a recipe nor the command line says otherwise.
      text: one line of help, with the unit and, where there is one, a recommendation.
      choices: the accepted values, if they can be listed.
      low, high: bounds of a number, both included.
      volatile: may differ when a run is resumed, as it cannot change the result: true, or
        the modes of which that holds.
      only: the modes that read it; empty for all. What a mode does not read is
        not compared when its run is resumed.
      by_mode: {mode: default} of the modes that have one of their own.
    """
    metadata = {"help": text, "choices": choices, "low": low, "high": high, "volatile": volatile}
    metadata |= {"only": only, "by_mode": by_mode or {}}
    return dataclasses.field(default=default, metadata=metadata)


def check_value(field, value):
    """Raises BadInput, naming the flag, for a value that its field does not take."""
    flag, meta = f"--{field.name}={value}", field.metadata
    accepted = (int, float) if field.type is float else field.type
    if not isinstance(value, accepted) or (isinstance(value, bool) and field.type is not bool):
        raise BadInput(f"{flag}: not of type {field.type.__name__}")
    if meta["choices"] and value not in meta["choices"]:
        near = difflib.get_close_matches(str(value), [str(c) for c in meta["choices"]], 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        accepted = ", ".join(str(choice) for choice in meta["choices"])
        raise BadInput(f"{flag}: not one of {accepted}{hint}")
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
      text: a positive whole number and a unit.
      units: accepted units; one that ends like another comes first.
      wanted: what to give, for the message.

    Returns:
      (number, unit).

    Raises:
      BadInput: the text is something else.
    """
    for unit in units:
        number = text.removesuffix(unit)
        if number != text and number.isdecimal() and int(number) > 0:
            return int(number), unit
    raise BadInput(f"--{name}={text}: {wanted}")


def parse_range(name, text):
    """Reads "START:STOP", two whole numbers from 1 with START <= STOP; raises BadInput."""
    start, colon, stop = text.partition(":")
    if colon and start.isdecimal() and stop.isdecimal() and 1 <= int(start) <= int(stop):
        return int(start), int(stop)
    raise BadInput(f"--{name}={text}: give the first and the last step, as 20:25")
