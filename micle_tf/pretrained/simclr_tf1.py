"""Weights of google-research/simclr's code for TF1: names of variables alone, without a graph.

`base_model/conv2d_7/kernel` is of the eighth convolution that is called, and batch norms are
numbered alike: in a unit the shortcut first, then the main path. Which layers are called is known
of every network of the family; the one whose layers have these names, and all their shapes, is it.
"""

import itertools
import re

from micle_tf.models.resnet import BASIC, DEPTHS
from micle_tf.pretrained.blueprint import (
    SIMCLR_SK_RATIO,
    Architecture,
    NoResNet,
    infer,
    layers,
    tensors,
)
from micle_tf.pretrained.checkpoint import Checkpoint
from micle_tf.pretrained.contents import Contents, Source

LAYOUT = "a checkpoint of SimCLR (TF1)"

_ENCODER, _HEAD, _CLASSIFIER = "base_model/", "head_contrastive/", "head_supervised/"
_AVERAGES = "ema_model/"  # of the weights over the steps, beside those of the last step
_LAYER = re.compile(rf"{_ENCODER}(conv2d|batch_normalization)(?:_(\d+))?/(\w+)")
_HEAD_LAYER = re.compile(rf"{_HEAD}n?l_(\d+)/(dense|batch_normalization)(?:_\d+)?/(\w+)")
_LOGITS = re.compile(rf"{_CLASSIFIER}linear_layer/dense(?:_\d+)?/(kernel|bias)")
_KINDS = {"dense": "dense", "batch_normalization": "norm"}


def contents(checkpoint: Checkpoint) -> Contents | None:
    """What a checkpoint without a graph of objects holds; None if it has no `base_model`."""
    sources = {key: Source(key, shape, key) for key, shape in checkpoint.shapes.items()}
    found: dict[tuple[str, int], dict[str, Source]] = {}
    projection, classifier = {}, {}
    for key, source in sources.items():
        if match := _LAYER.fullmatch(key):
            found.setdefault((match[1], int(match[2] or 0)), {})[match[3]] = source
        elif match := _HEAD_LAYER.fullmatch(key):
            layer = f"{_KINDS[match[2]]}{int(match[1]) + 1}"
            projection[f"projection_head/{layer}/{match[3]}"] = source
        elif match := _LOGITS.fullmatch(key):
            classifier[f"classifier/logits/{match[1]}"] = source
    if not found:
        return None
    encoder, resnet_d = _named(found)
    matched = {s.key for part in (encoder, projection, classifier) for s in part.values()}
    # A slot of an optimizer has the name of its variable, and one more part.
    slots = {key for key in sources if key.rpartition("/")[0] in sources}
    unmatched = [
        source
        for key, source in sources.items()
        if key.startswith(_ENCODER) and key not in matched | slots
    ]
    matched |= {source.key for source in unmatched}
    notes = []
    if any(key.startswith(_AVERAGES) for key in sources):
        notes.append("the averaged weights of ema_model/ were not taken")
    step = checkpoint.shapes.get("global_step")
    return Contents(
        LAYOUT,
        encoder,
        projection,
        classifier,
        unmatched,
        sorted(key for key in sources if key not in matched and key != "global_step"),
        checkpoint.read,
        checkpoint.sha256,
        resnet_d=resnet_d,
        step=int(checkpoint.read("global_step")) if step == () else None,
        notes=notes,
    )


def _named(found: dict[tuple[str, int], dict[str, Source]]) -> tuple[dict[str, Source], bool]:
    """({our name: tensor} of the network that fits, or fits best; whether it is a ResNet-D).

    A small stem and basic units are the same tensors with and without ResNet-D shortcuts; then
    it is taken for one without.
    """
    best: tuple[int, dict[str, Source], bool] = (-1, {}, False)
    for depth, sk_ratio, se_ratio, small in itertools.product(
        DEPTHS, (0.0, SIMCLR_SK_RATIO), (0.0, 0.25), (False, True)
    ):
        names = _call_numbers(Architecture(depth, 1, sk_ratio, se_ratio, small))
        named = {
            f"{names[place]}/{variable}": source
            for place, variables in found.items()
            if place in names
            for variable, source in variables.items()
        }
        there = {name: source.shape for name, source in named.items()}
        try:
            wanted = tensors(infer(there, resnet_d=sk_ratio > 0))
        except NoResNet:
            continue
        fit = sum(there.get(name) == shape for name, shape in wanted.items())
        off = len(wanted.keys() ^ there.keys()) + len(found.keys() - names.keys())
        if fit - off > best[0]:
            best = (fit - off, named, sk_ratio > 0)
    return best[1:]


def _call_numbers(architecture: Architecture) -> dict[tuple[str, int], str]:
    """{(kind, number of the call): our layer}."""
    numbers = {"conv2d": itertools.count(), "batch_normalization": itertools.count()}
    places = {}
    for layer, variables in layers(architecture):
        kind = "conv2d" if "kernel" in variables else "batch_normalization"
        places[kind, next(numbers[kind])] = layer
    return places


def averages_the_main_path(architecture: Architecture) -> bool:
    """Whether TF1's network is another one than TF2's of the same tensors.

    In basic units with ResNet-D shortcuts, TF1's code pools the input of both paths.
    """
    return DEPTHS[architecture.depth][0] == BASIC and architecture.sk_ratio > 0
