"""What to type next: after each mode one line or more that runs as it is printed.

`usual` is, in all of them, from a mode and its data to the `Config` of a command that says no more,
with its recipe: what is otherwise has to be said.
"""

import dataclasses
import os
import shlex

from micle_tf import console
from micle_tf.config import Config
from micle_tf.dataset_names import dataset_names
from micle_tf.program import typed
from micle_tf.run_config import ARCHITECTURE, is_run, read_config
from micle_tf.run_names import same_data
from micle_tf.settings import Tag, tagged

# What says which data it is, and how it is prepared; and where what was prepared is kept.
_DATA = tagged(Config, Tag.DATA)
_KEPT_DATA = (*_DATA, "data_dir")
# Of a run that starts from another, what its counterpart without that one does not take over.
_OF_THE_START = tagged(Config, Tag.COMMAND | Tag.START | Tag.PROJECTION)


def after_preparing(config, _, usual):
    """The data, or what was checked, is what to go on with."""
    mode, more = ("prepare", ("beam_options",)) if config.dry_run else ("pretrain", ())
    _next(mode, *_flags(config, (*_KEPT_DATA, *more), mode, usual))


def after_pretraining(config, result, usual):
    """A classifier, on one dataset with labels; an export where there are none.

    Args:
      config: `Config` of the pretraining.
      result: what `pretrain` returned; None on a worker that is not the chief.
    """
    names = dataset_names(config)
    labelled = (result or {}).get("labelled_images", [1] * len(names))  # a worker has none
    name = next((name for name, images in zip(names, labelled, strict=False) if images), None)
    if name is None:
        console.say(
            "no labels to learn from and to choose on: linear_eval and finetune want other data, "
            "by --manifest or --dataset"
        )
        _export(config.model_dir)
        return
    arguments = [f"--checkpoint={config.model_dir}"]
    if len(names) > 1:
        own = _DATA if name == "derm_cases/manifest" else ("dataset",)
        alone = dict(dataset=name, manual_dir="")  # where other files are is noted beside the data
        arguments += _flags(config.replace(**alone), own, "finetune", usual)
    _next("linear_eval", *arguments)
    _next("finetune", *arguments)


def after_linear_eval(config, _, usual):
    """The same on a random encoder, and fine-tuning; a pretraining after a random encoder."""
    _compare(config, "a random encoder", usual)
    if config.checkpoint:
        source = read_config(config.checkpoint)[0] if is_run(config.checkpoint) else None
        known = source and same_data(source, config)
        own = () if known else _flags(config, _DATA, "finetune", usual)
        _next("finetune", f"--checkpoint={config.checkpoint}", *own)


def after_finetuning(config, _, usual):
    """The baseline, the split that chose the model, an export."""
    _compare(config, "supervised training from scratch", usual)
    _next("evaluate", f"--checkpoint={config.model_dir}", "--eval_split=validation")
    _export(config.model_dir)


def after_evaluating(config, *_):
    """An export of what was judged."""
    _export(config.checkpoint)


def after_exporting(_, saved_model, __):
    """How to ask it, and what it takes and gives, by TensorFlow's own program."""
    shown = shlex.join(["saved_model_cli", "show", "--dir", saved_model, "--all"])
    save = "np.save('photos.npy', np.array([open('a.jpg', 'rb').read()]))"
    words = ["saved_model_cli", "run", "--dir", saved_model, "--tag_set", "serve"]
    words += ["--signature_def", "serving_default", "--inputs", "image_bytes=photos.npy"]
    console.say("to ask it about a.jpg (docs/model_in_use.md has TensorFlow Serving and Python):")
    console.say(f'  python -c "import numpy as np; {save}"')
    console.say(f"  {shlex.join(words)}")
    console.say(f"next: {shown}")


AFTER = {
    "prepare": after_preparing,
    "pretrain": after_pretraining,
    "linear_eval": after_linear_eval,
    "finetune": after_finetuning,
    "evaluate": after_evaluating,
    "export": after_exporting,
}


def _export(run):
    """An export to where the run's exports go, of the next version that is free."""
    import tensorflow as tf

    place = os.path.join(run, "export", Config.export_name)
    there = tf.io.gfile.listdir(place) if tf.io.gfile.isdir(place) else []
    versions = [int(name.rstrip("/")) for name in there if name.rstrip("/").isdecimal()]
    more = [f"--export_version={max(versions) + 1}"] if versions else []
    _next("export", f"--checkpoint={run}", *more)


def _compare(config, floor, usual):
    """Says how to run the same without pretraining or, where this was that, how to pretrain."""
    if config.checkpoint:
        console.say(f"to compare, the same with {floor}:")
        names = [f.name for f in dataclasses.fields(config) if f.name not in _OF_THE_START]
        _next(config.mode, *_flags(config, names, config.mode, usual))
    else:
        names = (*_KEPT_DATA, "preset", *ARCHITECTURE)
        _next("pretrain", *_flags(config, names, "pretrain", usual))


def _next(mode, *arguments):
    """Prints the command to type next."""
    console.say(f"next: {typed(f'--mode={mode}', *arguments)}")


def _flags(config, names, mode, usual):
    """--name=value of the fields that do something and are not what they usually are in a mode."""
    data = {name: getattr(config, name) for name in names if name in _DATA}
    default = usual(mode, **data)
    if "preset" in names and config.preset != default.preset:
        default = usual(mode, **data, preset=config.preset).replace(preset=default.preset)
    said = []
    for name in names:
        value, other = getattr(config, name), getattr(default, name)
        if name in _DATA:  # which was given
            other = getattr(Config, name)
        if name == "dataset" or (value != other and not config.otherwise(name)):
            said.append(f"--{name}={console.flag_value(value)}")
    return said
