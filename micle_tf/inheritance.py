"""What a run takes over: from the run it starts from, and from what its own directory holds."""

import dataclasses
import os
import shlex

from micle_tf import console, presets
from micle_tf.config import Config, is_compared
from micle_tf.config.modes import TRAIN
from micle_tf.errors import BadInput
from micle_tf.run_config import ARCHITECTURE, PROJECTION, check_place, is_run, read_config
from micle_tf.settings import Tag, tagged

_KEPT = ("data", "evaluation")  # groups of flags that a run keeps whether they are compared or not


def inherited(config, explicit, source):
    """What a run takes over from the one in --checkpoint: architecture, precision and data.

    Args:
      config: `Config` of what is stated, with the mode's defaults.
      explicit: {field: value} of the command line.
      source: `Config` of the run in --checkpoint.

    Returns:
      {field: value}.

    Raises:
      BadInput: what is stated cannot be, with those weights.
    """
    fixed = ARCHITECTURE
    if config.mode in TRAIN:
        fixed += PROJECTION
    free = tagged(Config, Tag.INPUT)
    if config.mode == "pretrain":  # whose projection head may be another, new one
        free += PROJECTION
    if config.mode in ("evaluate", "export"):
        fixed, free = fixed + ("precision",), ()
    for name in fixed:
        stated = explicit.get(name, getattr(source, name))
        if stated != getattr(source, name) and name not in free:
            raise BadInput(
                f"--{name}={stated}: --checkpoint={config.checkpoint} was trained with "
                f"{getattr(source, name)}; leave the flag out"
            )
    stated = explicit.get("precision", source.precision)
    if (stated == "float64") != (source.precision == "float64"):
        raise BadInput(
            f"--precision={stated}: --checkpoint={config.checkpoint} was trained in "
            f"{source.precision}, and float64 goes with float64 alone"
        )
    names = fixed + tagged(Config, Tag.INHERITED)
    if not any(name in explicit for name in tagged(Config, Tag.NAMES_DATA)):
        names += tagged(Config, Tag.DATA)
    if config.mode == "evaluate":
        names += tagged(Config, Tag.POLICY)  # what a label means stays what it meant in training
    taken = {name: explicit.get(name, getattr(source, name)) for name in names}
    if not os.path.isdir(os.path.expanduser(source.manual_dir)):
        taken.pop("manual_dir", None)  # the files were moved since
    return taken


def batch_of(source, mode):
    """{"train_batch_size": that of the run in --checkpoint}, where somebody chose it; else {}.

    Pairs are as many images again, so that between modes only a batch goes along that is not
    the usual one.
    """
    if source is None or source.mode not in TRAIN or mode not in TRAIN:
        return {}
    usual = presets.flags(
        presets.of_run(source.preset), source.mode, lambda: presets.Accelerators(0, 0.0)
    )
    usual = usual.get("train_batch_size", Config.of_mode(source.mode).train_batch_size)
    chosen = source.preset != "gpu" and source.train_batch_size != usual
    return {"train_batch_size": source.train_batch_size} if mode == source.mode or chosen else {}


def run_there(config):
    """The `Config` of the run of the same mode that lies in --model_dir; None if there is none."""
    if config.mode not in presets.MODES:
        return None
    if "://" in config.model_dir:
        check_place(config.model_dir, "--model_dir")
    if not is_run(config.model_dir):
        return None
    there, _ = read_config(config.model_dir, "--model_dir")
    return there if there.mode == config.mode else None


def as_there(config, there, typed):
    """A config with the values of the run in its --model_dir where nobody typed any; says so.

    What says where and how this machine works (devices, how often to save) is no run's own.

    Args:
      config: `Config`, decided as if there were no run.
      there: as of `run_there`.
      typed: names of the fields of the command line and of the files that it names.
    """
    fields = dataclasses.fields(Config)
    names = {f.name for f in fields if is_compared(f, config.mode) or f.metadata["group"] in _KEPT}
    names -= {*tagged(Config, Tag.COMMAND), *typed}
    if "train_epochs" in typed:  # which a number of steps would beat
        names.discard("train_steps")
    stated = [name for name in tagged(Config, Tag.NAMES_DATA) if name in typed]
    if any(getattr(config, name) != getattr(there, name) for name in stated):
        names -= set(tagged(Config, Tag.DATA))
    if not os.path.isdir(os.path.expanduser(there.manual_dir)):
        names.discard("manual_dir")  # the files were moved since
    kept = {name: getattr(there, name) for name in names}
    kept = config.replace(**kept, preset=presets.of_run(there.preset))
    shown = [
        f"--{field.name}={console.flag_value(getattr(kept, field.name))}"
        for field in fields
        if getattr(kept, field.name) != getattr(config, field.name)
        and not kept.otherwise(field.name)
    ]
    if shown:
        console.say(f"as the run in {config.model_dir}: {shlex.join(shown)}")
    return kept
