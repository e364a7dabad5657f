"""SimCLR's own flags, those of both run.py of google-research/simclr, as settings of ours.

Most have the name that they have here. The others stand in `THEIRS`, each with what becomes of it:
another name, no effect, or a refusal that names what stands for it here.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

from micle_tf.errors import BadInput

# What their README gives for --variable_schema: everything that a checkpoint has of the encoder,
# or of encoder and projection head. `Momentum` is LARSOptimizer in its first version.
_SCHEMA = re.compile(r"\(\?!global_step\|\(\?:\.\*/\|\^\)\w+\|head(_supervised)?\)")
_EVERYTHING = "?!global_step"
TRAINS = ("train", "train_then_eval")  # their modes that train


class _Refused(Exception):
    """A value that has no place here, and what to do."""


@dataclasses.dataclass(frozen=True)
class Theirs:
    """A flag of theirs that is none of ours.

    Attributes:
      name: of the flag.
      kind: bool, int, float or str.
      here: what stands for it here, in words for the documents.
      settings: from its value and all that is stated, ours and theirs, to ({setting: value}, a
        note; "" for none); raises `_Refused`.
      overrides: whether the settings count beside ours of the same name.
    """

    name: str
    kind: type
    here: str
    settings: Callable[[Any, Mapping[str, Any]], tuple[dict[str, Any], str]]
    overrides: bool = False


def _alias(name: str, change: Callable[[Any], Any] = lambda value: value) -> Callable[..., Any]:
    return lambda value, _: ({name: change(value)}, "")


def _nothing(why: str) -> Callable[..., Any]:
    return lambda value, _: ({}, why)


def _only(usual: Any, why: str) -> Callable[..., Any]:
    """Takes one value, which is what is done here anyway, and refuses all others."""

    def settings(value: Any, _: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        if value != usual:
            raise _Refused(why)
        return {}, ""

    return settings


def _train_summary_steps(value: int, _: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    if value < 1:
        return {}, "does nothing: the log is written every --log_every steps"
    return {"log_every": value}, ""


def _checkpoint_steps(value: int, _: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    return ({"checkpoint_every": f"{value}steps"} if value else {}), ""


def _proj_head_mode(value: str, _: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    layers = {"none": {"num_proj_layers": 0}, "linear": {"num_proj_layers": 1}, "nonlinear": {}}
    if value not in layers:
        raise _Refused(f"not one of {', '.join(layers)}")
    return layers[value], ""


def _eval_steps(value: int, _: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    return {}, "does nothing: every image of --eval_split is judged" * (value > 0)


def _variable_schema(value: str, stated: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    schema = _SCHEMA.fullmatch(value)
    if value == _EVERYTHING or (schema and schema[1]):
        return {}, ""
    if not schema:
        raise _Refused(
            "only the two of SimCLR's README are known, '(?!global_step|(?:.*/|^)Momentum|head)' "
            "for the encoder and '...|head_supervised)' for encoder and projection head"
        )
    if stated.get("ft_proj_selector"):
        raise _Refused(
            f"leaves out the projection head, of which --ft_proj_selector="
            f"{stated['ft_proj_selector']} wants layers"
        )
    return ({"new_projection_head": True} if stated["mode"] == "pretrain" else {}), ""


THEIRS = (
    Theirs(
        "use_tpu", bool, "true: `--strategy=tpu`",
        lambda value, _: ({"strategy": "tpu"} if value else {}, ""),
    ),
    Theirs("head_proj_dim", int, "`--proj_out_dim`", _alias("proj_out_dim")),
    Theirs(
        "num_nlh_layers", int, "`--num_proj_layers`, which counts the last one too",
        _alias("num_proj_layers", lambda value: value + 1),
    ),
    Theirs(
        "proj_head_mode", str, "none: `--num_proj_layers=0`; linear: 1; nonlinear: as it says",
        _proj_head_mode, overrides=True,
    ),
    Theirs("head_proj_mode", str, "`--proj_head_mode`", _proj_head_mode, overrides=True),
    Theirs("keep_checkpoint_max", int, "`--keep_checkpoints`", _alias("keep_checkpoints")),
    Theirs(
        "checkpoint_steps", int, "`--checkpoint_every=<N>steps`; 0: no effect", _checkpoint_steps
    ),
    Theirs(
        "checkpoint_epochs", int, "no effect; `--checkpoint_every`",
        _nothing("does nothing: checkpoints are saved as --checkpoint_every says"),
    ),
    Theirs(
        "train_summary_steps", int, "`--log_every`; 0: no effect", _train_summary_steps
    ),
    Theirs("eval_steps", int, "no effect: every image is judged", _eval_steps),
    Theirs("eval_name", str, "no effect", _nothing("does nothing: --model_dir names a result")),
    Theirs(
        "keep_hub_module_max", int, "no effect; `--mode=export`",
        _nothing("does nothing: --mode=export writes a model"),
    ),
    Theirs(
        "cache_dataset", bool, "no effect: images are decoded when they are drawn",
        lambda value, _: ({}, "does nothing: the system keeps files in memory" * value),
    ),
    Theirs(
        "variable_schema", str,
        "encoder: no head is taken, `--new_projection_head` in pretraining; encoder and head: no "
        "effect; anything else is refused",
        _variable_schema,
    ),
    Theirs(
        "batch_norm_decay", float, "0.9, as here; anything else is refused",
        _only(0.9, "batch norm keeps 0.9 of its averages here"),
    ),
    Theirs(
        "master", str, "refused; `--tpu_name`, or `TF_CONFIG` for workers",
        _only("", "name a TPU with --tpu_name; workers go by TF_CONFIG"),
    ),
)  # fmt: skip

NAMES = ("train_mode", *(flag.name for flag in THEIRS))


def mode_of(typed: Mapping[str, Any], train_mode: str | None) -> tuple[str | None, list[str]]:
    """The mode here of SimCLR's --mode and --train_mode, and what is to be said of it.

    Theirs are train, eval and train_then_eval, and what is trained is --train_mode. Ours name
    what is done, and fine-tuning always ends in a judgement.

    Args:
      typed: {name: value} of the settings that are typed, "mode" perhaps theirs.
      train_mode: as it is typed.

    Returns:
      (mode, None where neither says any; notes).

    Raises:
      BadInput: for eval, which goes by checkpoints as they come, while here runs are judged; for
        another --train_mode than theirs, or one that contradicts a mode of ours.
    """
    mode = typed.get("mode")
    if train_mode not in (None, "pretrain", "finetune"):
        raise BadInput(f"--train_mode={train_mode}: not one of pretrain, finetune")
    if mode == "eval":
        raise BadInput(
            "--mode=eval: here a run is judged when it ends, and anew by --mode=evaluate "
            "--checkpoint=RUN"
        )
    if mode not in TRAINS and mode and train_mode and mode != train_mode:
        raise BadInput(f"--train_mode={train_mode}: contradicts --mode={mode}; leave one out")
    notes = []
    found = train_mode or ("pretrain" if mode in TRAINS else mode)
    if mode == "train_then_eval" and found == "pretrain":
        notes.append("--mode=train_then_eval trains alone: --mode=linear_eval judges a pretraining")
    in_their_words = train_mode or mode in TRAINS
    if in_their_words and found == "pretrain" and "lineareval_while_pretraining" not in typed:
        notes.append("--lineareval_while_pretraining is off here, and on in SimCLR's code")
    return found, notes


def translated(
    theirs: Mapping[str, Any], ours: Mapping[str, Any], where: str = ""
) -> tuple[dict[str, Any], list[str]]:
    """Settings of ours that flags of theirs stand for, and what is to be said of them.

    Args:
      theirs: {name: value} of `THEIRS`, as they are typed.
      ours: {name: value} of the settings that are typed; "mode" counts as pretrain if it is not.
      where: begins messages.

    Returns:
      ({name: value} without what `ours` decides, notes of one line each).

    Raises:
      BadInput: for a value that has no place here.
    """
    settings: dict[str, Any] = {}
    notes = []
    stated = {"mode": "pretrain", **ours}
    for flag in THEIRS:
        if flag.name not in theirs:
            continue
        value = theirs[flag.name]
        try:
            found, note = flag.settings(value, stated)
        except _Refused as refused:
            raise BadInput(f"{where}--{flag.name}={value}: {refused}") from None
        settings |= {n: v for n, v in found.items() if flag.overrides or n not in ours}
        if note:
            notes.append(f"--{flag.name} {note}")
    return settings, notes
