"""Weights of others into our models, tensor by tensor."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import keras
import numpy as np

from micle_tf.console import count
from micle_tf.errors import BadInput
from micle_tf.models.heads import classifier_head, projection_head
from micle_tf.models.resnet import SMALL_IMAGE, resnet_encoder
from micle_tf.pretrained.blueprint import Architecture
from micle_tf.pretrained.contents import Source
from micle_tf.pretrained.describing import Description, description_of
from micle_tf.pretrained.opening import Opened, open_weights, where_of
from micle_tf.tensors import Norm

InputShape = tuple[int | None, int | None, int]


@dataclasses.dataclass(frozen=True)
class Report:
    """Which tensors came in.

    Attributes:
        description: of the weights.
        restored: paths of the variables that have their values from the file.
        missing: paths of the variables that kept their own, for the file has none for them.
        unused: names of the tensors of the file that went nowhere.
        parts: which models came in: "encoder", "projection head", "classifier".
        new: which kept their own values, for the file has none of their shapes.
        left_out: the heads of the file that no model took, in words.
        others: how many tensors the file has besides encoder and heads.
    """

    description: Description
    restored: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    parts: tuple[str, ...]
    new: tuple[str, ...]
    left_out: tuple[str, ...]
    others: int

    def line(self) -> str:
        """One line for a person: what came in, what was left out, what is new."""
        of = self.description
        came = " and ".join([", ".join(self.parts[:-1])] * (len(self.parts) > 1) + [self.parts[-1]])
        text = f"{of.name}, {of.layout}: {came} of a {of.architecture} came in"
        parts = [f"{text} ({len(self.restored)} tensors)"]
        parts += [f"left out: {', '.join(self.left_out)}"] * bool(self.left_out)
        parts += [f"new: {', '.join(self.new)}"] * bool(self.new)
        parts += [f"{count(self.others, 'other tensor')} not used"] * bool(self.others)
        return "; ".join([*parts, *of.notes])


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """Models with the weights of a file.

    Attributes:
        encoder: from images `[n, height, width, channels]` in [0, 1] to features `[n, d]`.
        projection_head: from `[n, d]` to `[n, out_dim]`; None if the file has none to take.
        classifier: from features or, of networks that were tuned from the middle of the head,
            from what that gives, to logits `[n, classes]`; None if the file has none.
        report: what came in.
    """

    encoder: keras.Model
    projection_head: keras.Sequential | None
    classifier: keras.Sequential | None
    report: Report


def load(
    path: str | os.PathLike[str],
    input_shape: InputShape | None = None,
    *,
    norm: Norm | None = None,
    flag: str = "",
) -> Pretrained:
    """Builds the models that a file of weights is of, and fills them.

    Args:
        path: a checkpoint of google-research/simclr, TF1 or TF2, by its folder or its prefix;
            the folder of a SavedModel of it, or its `variables`; a .keras file with our layers.
            Local, or of `tf.io.gfile`.
        input_shape: (height, width, channels) of the encoder's images, sides may be None. None:
            224 x 224 or, for a small stem, 32 x 32.
        norm: makes batch norms, see `resnet_encoder`.
        flag: with which `path` was typed, for error messages, as "--checkpoint".

    Returns:
        `Pretrained`.

    Raises:
        BadInput: one line. There are no weights, or damaged ones, or those of another family,
            and it says what they seem to be; a tensor of the encoder has no place or another
            shape, and it names the tensor and both shapes; the stem does not suit `input_shape`.
    """
    where = where_of(path, flag)
    opened = open_weights(path, where)
    encoder = build_encoder(opened.architecture, input_shape, norm=norm, where=where)
    of = description_of(opened)
    head = classifier = None
    if of.projection_head:
        head = projection_head(of.projection_head.num_layers, of.projection_head.out_dim, norm=norm)
        head.build((None, of.projection_head.in_dim))
    if of.classifier:
        classifier = classifier_head(of.classifier.num_classes)
        classifier.build((None, of.classifier.in_dim))
    report = _fill(opened, of, encoder, head, classifier, where)
    return Pretrained(encoder, head, classifier, report)


def load_encoder(
    path: str | os.PathLike[str],
    input_shape: InputShape | None = None,
    *,
    norm: Norm | None = None,
    flag: str = "",
) -> tuple[keras.Model, Report]:
    """The encoder alone, as `load` makes it, and the report."""
    where = where_of(path, flag)
    opened = open_weights(path, where)
    encoder = build_encoder(opened.architecture, input_shape, norm=norm, where=where)
    return encoder, _fill(opened, description_of(opened), encoder, None, None, where)


def restore(
    path: str | os.PathLike[str],
    encoder: keras.Model,
    projection_head: keras.Sequential | None = None,
    classifier: keras.Sequential | None = None,
    *,
    first_layers: bool = False,
    flag: str = "",
) -> Report:
    """Fills models that are there already, such as those of a training.

    Args:
        path: as of `load`.
        encoder: of `resnet_encoder`; all of its weights must be in the file.
        projection_head: filled if the file has a trained one of the same shapes, else
            all of it is `missing` in the report, and unchanged.
        classifier: alike.
        first_layers: whether the head is but the first layers of one, see `select_layers`.
        flag: as of `load`.

    Raises:
        BadInput: as `load`, or the encoder is of another architecture.
    """
    where = where_of(path, flag)
    opened = open_weights(path, where)
    of = description_of(opened)
    models = (encoder, projection_head, classifier)
    return _fill(opened, of, *models, where, first_layers=first_layers)


def build_encoder(
    architecture: Architecture,
    input_shape: InputShape | None = None,
    *,
    norm: Norm | None = None,
    where: str = "",
) -> keras.Model:
    """An encoder of an architecture; raises BadInput if images of that shape have another stem."""
    if input_shape is None:
        side = SMALL_IMAGE if architecture.small_stem else 224
        input_shape = (side, side, architecture.channels)
    *sides, channels = input_shape
    if channels != architecture.channels:
        raise BadInput(f"{where}: its images have {architecture.channels} channels, not {channels}")
    if all(side is not None and side <= SMALL_IMAGE for side in sides) != architecture.small_stem:
        stem = "small stem, of images of at most" if architecture.small_stem else "large stem, of"
        more = "" if architecture.small_stem else " images of more than"
        size = " x ".join("any" if side is None else str(side) for side in sides)
        raise BadInput(
            f"{where}: it has the {stem}{more} {SMALL_IMAGE} x {SMALL_IMAGE}, and {size} is asked "
            f"for; choose another --image_size"
        )
    return resnet_encoder(
        architecture.depth,
        architecture.width_multiplier,
        architecture.sk_ratio,
        architecture.se_ratio,
        input_shape,
        norm=norm,
    )


def _fill(
    opened: Opened,
    description: Description,
    encoder: keras.Model,
    head: keras.Sequential | None,
    classifier: keras.Sequential | None,
    where: str,
    *,
    first_layers: bool = False,
) -> Report:
    """Reads tensor by tensor, so that no more than one is in memory twice."""
    contents = opened.contents
    _check_encoder(encoder, opened, where)
    given: list[tuple[str, Any, dict[str, Source]]] = [("encoder", encoder, contents.encoder)]
    if head is not None:
        tensors = contents.projection_head if description.projection_head else {}
        if first_layers:
            wanted = {weight.path for weight in head.weights}
            tensors = {name: source for name, source in tensors.items() if name in wanted}
        given.append(("projection head", head, tensors))
    if classifier is not None:
        tensors = contents.classifier if description.classifier else {}
        given.append(("classifier", classifier, tensors))
    restored: list[str] = []
    missing: list[str] = []
    parts, new, used = [], [], set()
    for part, model, sources in given:
        if not model.built:
            model.build((None, opened.architecture.feature_dim))
        shapes = {weight.path: tuple(weight.shape) for weight in model.weights}
        if shapes != {name: source.shape for name, source in sources.items()}:
            missing += shapes
            new.append(part)
            continue
        for weight in model.weights:
            source = sources[weight.path]
            weight.assign(_read(contents.read, source, where))
            used.add(source.name)
        restored += shapes
        parts.append(part)
    there = {
        "encoder": "",
        "projection head": description.projection_head,
        "classifier": description.classifier,
    }
    left_out = [f"{part} ({what})" for part, what in there.items() if what and part not in parts]
    of_parts = [*contents.encoder.values(), *contents.projection_head.values()]
    of_parts += contents.classifier.values()
    unused = [source.name for source in of_parts if source.name not in used] + contents.others
    return Report(
        description,
        tuple(restored),
        tuple(missing),
        tuple(unused),
        tuple(parts),
        tuple(new),
        tuple(left_out),
        len(contents.others),
    )


def _check_encoder(encoder: keras.Model, opened: Opened, where: str) -> None:
    """Raises BadInput, naming a tensor and both shapes, if the encoder is another one."""
    shapes = {weight.path: tuple(weight.shape) for weight in encoder.weights}
    sources = opened.contents.encoder
    for name in {**shapes, **sources}:
        there = list(sources[name].shape) if name in sources else "not there"
        ours = list(shapes[name]) if name in shapes else "not there"
        if there != ours:
            raise BadInput(
                f"{where}: is a {opened.architecture}: {name} is {there} in the file, and {ours} "
                f"in the encoder that it should go to"
            )


def _read(read: Any, source: Source, where: str) -> np.ndarray:
    value = read(source.key)
    if value.dtype.kind not in "fV":  # V: bfloat16, where numpy does not know it by name
        raise BadInput(f"{where}: {source.name} has no floating-point numbers, but {value.dtype}")
    if not np.isfinite(value.astype(np.float32, copy=False)).all():
        raise BadInput(f"{where}: {source.name} has numbers that are not finite")
    return value
