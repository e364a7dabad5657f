"""Words of a command line or flagfile as values of settings; absl's flags are seen only here."""

import dataclasses
import os
import re
import typing

from absl import flags as absl_flags

from micle_tf import simclr_flags
from micle_tf.config import Config
from micle_tf.errors import BadInput
from micle_tf.settings import nearest

ASKING = {"h", "help", "helpshort", "helpfull", "version"}
_DEFINE = {
    bool: absl_flags.DEFINE_bool,
    int: absl_flags.DEFINE_integer,
    float: absl_flags.DEFINE_float,
    str: absl_flags.DEFINE_string,
}


class Parsed(typing.NamedTuple):
    """What some words say.

    Attributes:
      values: {field: value}.
      flagfiles: as they are named, in their order.
      notes: a line each on flags that do nothing here.
      in_simclrs_words: whether --train_mode is among them, or one of SimCLR's names of --mode.
    """

    values: dict
    flagfiles: list
    notes: tuple
    in_simclrs_words: bool


def parse(argv, where=""):
    """Reads flags, SimCLR's own among them, as `Parsed`.

    Args:
      argv: the words.
      where: begins messages.

    Raises:
      BadInput: an unknown flag (with the nearest name), a value of the wrong kind, or a
        stray argument; the message starts with `where`.
    """
    fields = dataclasses.fields(Config)
    values = _flags(fields)
    flagfiles, argv = take_flagfiles(argv, where)
    try:
        stray = values([""] + argv)[1:]
    except absl_flags.UnrecognizedFlagError as error:
        names = [field.name for field in fields]
        hint = _nearest_flag(error.flagname, [*names, *ASKING, "flagfile", *simclr_flags.NAMES])
        raise BadInput(f"{where}--{error.flagname}: no such flag{hint}") from None
    except (absl_flags.Error, ValueError) as error:  # the latter from --nouse_blur=3
        raise BadInput(f"{where}{_wrong_kind(error, fields)}") from None
    if stray:
        raise BadInput(f"{where}{stray[0]}: stray argument; flags look like --name=value")
    typed = {f.name: values[f.name].value for f in fields if values[f.name].present}
    for field in fields:
        if field.metadata["path"] and field.name in typed:
            typed[field.name] = os.path.expanduser(typed[field.name])
    in_simclrs_words = bool(values["train_mode"].value or typed.get("mode") in simclr_flags.TRAINS)
    mode, said = simclr_flags.mode_of(typed, values["train_mode"].value)
    typed |= {"mode": mode} if mode else {}
    theirs = [flag.name for flag in simclr_flags.THEIRS if values[flag.name].present]
    settings, notes = simclr_flags.translated({n: values[n].value for n in theirs}, typed, where)
    return Parsed(typed | settings, flagfiles, (*said, *notes), in_simclrs_words)


def _flags(fields):
    """absl's flags: ours, and SimCLR's that are none of ours."""
    values = absl_flags.FlagValues()
    for field in fields:
        _DEFINE[field.type](field.name, None, field.metadata["help"], flag_values=values)
    absl_flags.DEFINE_string("train_mode", None, "SimCLR's name of mode.", flag_values=values)
    for flag in simclr_flags.THEIRS:
        _DEFINE[flag.kind](flag.name, None, flag.here, flag_values=values)
    return values


def _nearest_flag(name, names):
    """As `nearest`; batch_size is train_batch_size, whatever else is near."""
    longer = [candidate for candidate in names if candidate.endswith(f"_{name}")]
    hint = nearest(longer[0] if longer else name, names)
    hint = hint or nearest(name.removeprefix("no"), names)
    return hint.replace("mean ", "mean --")


def _wrong_kind(error, fields):
    """ "--seed=x: not a whole number", out of absl's "flag --seed=x: invalid literal ..."."""
    text = " ".join(str(error).split())
    stated = re.match(r"flag (--(\w+)=.*?): ", text)
    if not stated:
        return text
    kinds = {bool: "not true or false", int: "not a whole number", float: "not a number"}
    types = {field.name: field.type for field in fields}
    types |= {flag.name: flag.kind for flag in simclr_flags.THEIRS}
    kind = kinds.get(types.get(stated[2]))
    return f"{stated[1]}: {kind}" if kind else text


def take_flagfiles(argv, where=""):
    """Splits off the values of --flagfile, which absl would read as if they stood on the line."""
    files, rest, argv = [], [], iter(argv)
    for argument in argv:
        name, equals, value = argument.partition("=")
        if _name_of(argument) == "flagfile":
            files.append(value if equals else next(argv, ""))
            if not files[-1]:
                raise BadInput(f"{where}{name}: name a file")
        elif _name_of(argument) == "undefok":  # with which absl would pass over typos
            raise BadInput(f"{where}{name}: no such flag")
        else:
            rest.append(argument)
    return files, rest


def _name_of(argument):
    """The name of the flag in "--name=value", or of "-name"; "" of anything else."""
    return argument.partition("=")[0].lstrip("-") if argument.startswith("-") else ""
