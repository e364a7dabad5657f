"""From a path to what it holds, compared with the encoder that it should be of."""

import os
from typing import NamedTuple

from micle_tf.errors import BadInput
from micle_tf.pretrained import keras_file, seeming, simclr_tf1, simclr_tf2
from micle_tf.pretrained.blueprint import Architecture, NoResNet, Shape, infer, tensors
from micle_tf.pretrained.checkpoint import GRAPH, Checkpoint, ObjectGraph
from micle_tf.pretrained.contents import Contents
from micle_tf.pretrained.found import Found, find
from micle_tf.pretrained.storage import is_file


class Opened(NamedTuple):
    """Weights whose encoder is one of ours, tensor for tensor."""

    found: Found
    contents: Contents
    architecture: Architecture


def where_of(path: str | os.PathLike[str], flag: str) -> str:
    """What an error on weights starts with: "--checkpoint=PATH", or the path alone."""
    return f"{flag}={os.fspath(path)}" if flag else os.fspath(path)


def open_weights(path: str | os.PathLike[str], where: str) -> Opened:
    """Opens weights and looks at their names and shapes; reads hardly any tensor.

    Raises:
        BadInput: there are none, they are damaged, or of another family; or the tensors of the
            encoder are not exactly those of one that `resnet_encoder` builds.
    """
    found = find(os.fspath(path), where)
    contents = keras_file.contents(found.path, where) if found.is_keras else _read(found, where)
    try:
        architecture = infer(
            {name: source.shape for name, source in contents.encoder.items()}, contents.resnet_d
        )
    except NoResNet as error:
        raise BadInput(
            f"{where}: {contents.layout} whose encoder is none of ours: {error}"
        ) from None
    _compare(contents, architecture, where)
    if contents.layout == simclr_tf1.LAYOUT and simclr_tf1.averages_the_main_path(architecture):
        raise BadInput(
            f"{where}: {contents.layout} with ResNet-D shortcuts in basic units, where that code "
            f"averages the main path too; no encoder of ours does"
        )
    return Opened(found, contents, architecture)


def _read(found: Found, where: str) -> Contents:
    checkpoint = Checkpoint(found.path, where)
    names: list[str] = []  # of parts and variables in the program
    if GRAPH not in checkpoint.shapes:
        contents = simclr_tf1.contents(checkpoint)
    else:
        graph = ObjectGraph(checkpoint, where)
        contents = simclr_tf2.contents(checkpoint, graph)
        names = [*graph.names()] if contents is None else []
        if contents is None and _is_ours(found.path):
            run = os.path.dirname(os.path.dirname(found.path)) or ".."
            raise BadInput(f"{where}: it is a checkpoint of a run; name its folder, {run}")
        if contents is None and graph.find("max_pixels") is not None:
            raise BadInput(
                f"{where}: it is a SavedModel of --mode=export, which has no names of layers; "
                f"name the .keras file that was written with it"
            )
    if contents is None:
        raise BadInput(f"{where}: {seeming.family(checkpoint.shapes, names)}; {seeming.TAKEN}")
    return contents


def _is_ours(prefix: str) -> bool:
    """Whether a checkpoint has the mark that our runs write beside theirs."""
    return is_file(f"{prefix}.complete")


def _compare(contents: Contents, architecture: Architecture, where: str) -> None:
    """Raises BadInput, naming a tensor and both shapes, unless the encoder's are all there."""
    wanted = tensors(architecture)
    for name, shape in wanted.items():
        source = contents.encoder.get(name)
        if source and source.shape != shape:
            raise BadInput(
                f"{where}: {source.name} has the shape {_text(source.shape)}, and in a "
                f"{architecture} {name} has {_text(shape)}"
            )
    missing = [name for name in wanted if name not in contents.encoder]
    if missing:
        raise BadInput(
            f"{where}: {missing[0]} {_text(wanted[missing[0]])} of a {architecture} is missing"
            f"{_and_more(len(missing))}"
        )
    extra = [source for name, source in contents.encoder.items() if name not in wanted]
    extra += contents.unmatched
    if extra:
        raise BadInput(
            f"{where}: {extra[0].name} {_text(extra[0].shape)} has no place in a {architecture}"
            f"{_and_more(len(extra))}"
        )


def _text(shape: Shape) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _and_more(count: int) -> str:
    return f", and {count - 1} more" if count > 1 else ""
