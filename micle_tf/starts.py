"""What a run starts from: a run of ours, whose settings it takes over, or weights of others."""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import os
from collections.abc import Mapping
from typing import Any

from micle_tf import pretrained
from micle_tf.config import Config
from micle_tf.config.modes import EXPORT, MODEL
from micle_tf.errors import BadInput
from micle_tf.run_config import check_place, is_run, read_config
from micle_tf.settings import Tag, tagged

SMALL_STEM = 32  # pixels, up to which an encoder has the small stem


@dataclasses.dataclass(frozen=True)
class Weights:
    """Weights of others, as far as settings depend on them.

    Attributes:
      name: for run directories: "r50_1x_sk0-3f0a91".
      fact: what config.json keeps of them: name and hash.
      flags: {name of a setting: value} of the encoder and, if there is one, the projection head.
      small_stem: whether the stem is that of images of at most 32 px; None: not known.
    """

    name: str
    fact: str
    flags: Mapping[str, Any]
    small_stem: bool | None = None


@dataclasses.dataclass(frozen=True)
class Start:
    """What --checkpoint names; nothing of it is there without one.

    Attributes:
      config: `Config` of a run of ours; None for weights of others.
      predicts_findings: whether a run may predict findings.
      weights: `Weights`; None for a run.
    """

    config: Config | None = None
    predicts_findings: bool = True
    weights: Weights | None = None


def needs_tensorflow(checkpoint: str) -> bool:
    """Whether to tell what lies at a path takes TensorFlow: of weights, and of remote paths."""
    return bool(checkpoint) and ("://" in checkpoint or pretrained.is_weights(checkpoint))


def start_of(checkpoint: str, model_dir: str = "") -> Start:
    """What a run starts from.

    Args:
      checkpoint: as it is typed; "" for nothing.
      model_dir: the run directory, if it is typed; else all below runs/ are looked at: a run that
        began from the same weights knows all that is asked of them, wherever they are by now.

    Raises:
      BadInput: there is neither a run nor weights.
    """
    if not checkpoint:
        return Start()
    check_place(checkpoint, "--checkpoint")
    if not pretrained.is_weights(checkpoint):
        try:
            config, facts = read_config(checkpoint)
        except BadInput:
            if kept := _kept_in(model_dir, checkpoint):
                return Start(weights=kept)
            raise
        targets = facts.get("targets")
        return Start(config, not isinstance(targets, dict) or bool(targets.get("multilabel", True)))
    kept = _kept_in(model_dir, checkpoint) if model_dir else None
    return Start(weights=kept or weights_of(checkpoint))


def weights_of(checkpoint: str) -> Weights:
    """The `Weights` at a path; raises BadInput, naming --checkpoint, if there are none of ours."""
    found = pretrained.describe(checkpoint, flag="--checkpoint")
    shape = found.architecture
    flags: dict[str, Any] = {
        "resnet_depth": shape.depth,
        "width_multiplier": float(shape.width_multiplier),
        "sk_ratio": float(shape.sk_ratio),
        "se_ratio": float(shape.se_ratio),
    }
    if found.projection_head:
        flags["num_proj_layers"] = found.projection_head.num_layers
        flags["proj_out_dim"] = found.projection_head.out_dim
    fact = f"{found.name} (sha256 {found.sha256})"
    return Weights(found.name, fact, flags, shape.small_stem)


def is_of_others(fact: Any) -> bool:
    """Whether what a run's config.json has under "weights" names weights of others."""
    return isinstance(fact, str) and " (sha256 " in fact


def _kept_in(model_dir: str, checkpoint: str) -> Weights | None:
    """The `Weights` that a run began from, if these are the ones."""
    found = {}
    runs = [model_dir] if model_dir else glob.glob(os.path.join("runs", "*", "*"))
    for run in filter(is_run, runs):
        with contextlib.nullcontext() if model_dir else contextlib.suppress(BadInput):
            config, facts = read_config(run, "--model_dir")
            same = os.path.normpath(config.checkpoint) == os.path.normpath(checkpoint)
            if same and is_of_others(facts.get("weights")):
                found[facts["weights"]] = config
    if len(found) != 1:  # none, or other weights at different times
        return None
    ((fact, config),) = found.items()
    names = tagged(config, Tag.ENCODER | Tag.PROJECTION)
    return Weights(fact.partition(" ")[0], fact, {name: getattr(config, name) for name in names})


def check_weights(
    weights: Weights, config: Config, explicit: Mapping[str, Any], checkpoint: str
) -> None:
    """Raises BadInput for what is typed and cannot be, with weights of others.

    Args:
      weights: of --checkpoint.
      config: `Config`, as it is decided.
      explicit: {field: value} of the command line.
      checkpoint: as it is typed.
    """
    where = f"--checkpoint={checkpoint}"
    if config.mode == "evaluate":
        raise BadInput(
            f"{where}: weights of others have no classifier of ours; train one with "
            "--mode=linear_eval"
        )
    fixed = tagged(Config, Tag.ENCODER)
    if config.mode == "finetune" and config.ft_proj_selector:
        if "num_proj_layers" not in weights.flags:
            raise BadInput(
                f"--ft_proj_selector={config.ft_proj_selector}: {where} has no projection head "
                "that was trained, to keep layers of"
            )
        fixed += tagged(Config, Tag.PROJECTION)
    for name in fixed:
        if name in explicit and explicit[name] != weights.flags[name]:
            raise BadInput(
                f"--{name}={explicit[name]}: {where} has {weights.flags[name]:g}; leave it out"
            )
    small = config.image_size <= SMALL_STEM
    if config.mode in (*MODEL, *EXPORT) and weights.small_stem not in (None, small):
        stem = (
            f"{'large stem, of more than' if small else 'small stem, of at most'} {SMALL_STEM} px"
        )
        raise BadInput(f"--image_size={config.image_size}: {where} has the {stem}; choose another")
