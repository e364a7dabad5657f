"""Weights of google-research/simclr's `tf2/`: its checkpoints, and the variables of SavedModels.

Both keep the graph of the objects that they were written of, which alone says which tensor is
which: the keys of a SavedModel are numbers in lists. Where an object lies in the graph is set by
`tf2/resnet.py` and `tf2/model.py` there.
"""

from micle_tf.pretrained.checkpoint import Checkpoint, ObjectGraph
from micle_tf.pretrained.contents import Contents, Source

# {object: layer} of the stem, in `resnet_model/initial_conv_relu_max_pool`, and of the same with
# the three convolutions of a ResNet-D.
_STEM = {"0/conv2d": "conv", "2/bn": "norm"}
_STEM_D = {
    "0/conv2d": "conv1", "1/bn": "norm1", "2/conv2d": "conv2", "3/bn": "norm2",
    "4/conv2d": "conv", "6/bn": "norm",
}  # fmt: skip
# The same of the main path of a unit, in `resnet_model/block_groups/G/layers/U`.
_BASIC = {
    "conv2d_bn_layers/0/conv2d": "conv1", "conv2d_bn_layers/1/bn": "norm1",
    "conv2d_bn_layers/2/conv2d": "conv2", "conv2d_bn_layers/3/bn": "norm2",
    "se_layer/se_reduce": "se_conv1", "se_layer/se_expand": "se_conv2",
}  # fmt: skip
# Between them in the list there are layers without variables (DropBlock).
_BOTTLENECK = {
    "0/conv2d": "conv1", "1/bn": "norm1", "3/conv2d": "conv2", "4/bn": "norm2",
    "6/conv2d": "conv3", "7/bn": "norm3", "9/se_reduce": "se_conv1", "9/se_expand": "se_conv2",
}  # fmt: skip
_BOTTLENECK_SK = {
    "0/conv2d": "conv1", "1/bn": "norm1",
    "3/conv2d_fixed_padding/conv2d": "conv2", "3/batch_norm_relu/bn": "norm2",
    "3/conv2d_0": "sk_conv1", "3/batch_norm_relu_1/bn": "sk_norm1", "3/conv2d_1": "sk_conv2",
    "5/conv2d": "conv3", "6/bn": "norm3", "8/se_reduce": "se_conv1", "8/se_expand": "se_conv2",
}  # fmt: skip


def contents(checkpoint: Checkpoint, graph: ObjectGraph) -> Contents | None:
    """What a checkpoint with a graph of objects holds; None if it has no `resnet_model`."""
    for root in ("model/", ""):
        encoder = graph.find(f"{root}resnet_model")
        if encoder is not None:
            break
    else:
        return None
    walk = _Walk(checkpoint, graph)
    resnet_d = _walk_encoder(walk, encoder)
    tensors = walk.taken()
    head = graph.find(f"{root}_projection_head/linear_layers")
    for name, layer in sorted(graph.parts(head).items()) if head is not None else ():
        if name.isdigit():
            number = int(name) + 1
            walk.take(layer, {"dense": f"dense{number}", "bn_relu/bn": f"norm{number}"}, "")
    projection = {f"projection_head/{name}": source for name, source in walk.taken().items()}
    classifier = graph.find(f"{root}supervised_head")
    if classifier is not None:
        walk.take(classifier, {"linear_layer/dense": "classifier/logits"}, "")
    logits = walk.taken()
    matched = {s.key for part in (tensors, projection, logits) for s in part.values()}
    unmatched = [
        Source(key, checkpoint.shapes[key], f"{key.removesuffix(_VALUE)} ({name})")
        for key, name in graph.all_below(encoder).items()
        if key in checkpoint.shapes and key not in matched
    ]
    matched |= {source.key for source in unmatched}
    is_saved = any(key.startswith("trainable_variables_list/") for key in matched) or any(
        "/variables/" in key for key in matched
    )
    return Contents(
        "a SavedModel of SimCLR (TF2)" if is_saved else "a checkpoint of SimCLR (TF2)",
        tensors,
        projection,
        logits,
        unmatched,
        sorted(key for key in checkpoint.shapes if key not in matched and not _is_own(key)),
        checkpoint.read,
        checkpoint.sha256,
        resnet_d=resnet_d,
        step=_step(checkpoint),
    )


class _Walk:
    """Collects variables by the names of our layers."""

    def __init__(self, checkpoint: Checkpoint, graph: ObjectGraph) -> None:
        self._checkpoint, self._graph = checkpoint, graph
        self._taken: dict[str, Source] = {}

    def take(self, start: int, layers: dict[str, str], prefix: str) -> None:
        """Takes the variables of the objects at some paths below `start`, if they are there."""
        for path, layer in layers.items():
            node = self._graph.find(path, start)
            if node is None:
                continue
            for variable, key in self._graph.variables(node).items():
                shape = self._checkpoint.shapes.get(key)
                if shape is not None:
                    name = f"{prefix}{layer}/{variable}"
                    self._taken[name] = Source(key, shape, key.removesuffix(_VALUE))

    def taken(self) -> dict[str, Source]:
        """What was taken since the last time."""
        taken, self._taken = self._taken, {}
        return taken


_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def _walk_encoder(walk: _Walk, encoder: int) -> bool:
    """Takes all layers of an encoder; returns whether its shortcuts are those of a ResNet-D."""
    graph, resnet_d = walk._graph, False
    stem = graph.find("initial_conv_relu_max_pool", encoder)
    if stem is not None:
        is_d = graph.find("4/conv2d", stem) is not None
        walk.take(stem, _STEM_D if is_d else _STEM, "initial_")
    groups = graph.find("block_groups", encoder)
    for group, node in graph.parts(groups).items() if groups is not None else ():
        units = graph.find("layers", node)
        for unit, place in graph.parts(units).items() if units is not None else ():
            if group.isdigit() and unit.isdigit():
                prefix = f"block_group{int(group) + 1}_unit{unit}_"
                resnet_d |= _walk_unit(walk, place, prefix)
    return resnet_d


def _walk_unit(walk: _Walk, unit: int, prefix: str) -> bool:
    """Takes the layers of a unit; returns whether its shortcut is that of a ResNet-D."""
    graph, resnet_d = walk._graph, False
    for name in ("projection_layers", "shortcut_layers"):
        # A convolution and a batch norm, behind padding and pooling in a ResNet-D.
        steps = graph.find(name, unit)
        for step, node in graph.parts(steps).items() if steps is not None else ():
            walk.take(node, {"conv2d": "shortcut_conv", "bn": "shortcut_norm"}, prefix)
            resnet_d |= step.isdigit() and int(step) > 1
    walk.take(unit, _BASIC, prefix)
    steps = graph.find("conv_relu_dropblock_layers", unit)
    if steps is not None:
        is_sk = graph.find("3/conv2d_fixed_padding", steps) is not None
        walk.take(steps, _BOTTLENECK_SK if is_sk else _BOTTLENECK, prefix)
    return resnet_d


def _is_own(key: str) -> bool:
    """Whether a key is of TensorFlow's bookkeeping."""
    return key.startswith(("_CHECKPOINTABLE_OBJECT_GRAPH", "save_counter", "global_step"))


def _step(checkpoint: Checkpoint) -> int | None:
    key = f"global_step{_VALUE}"
    return int(checkpoint.read(key)) if checkpoint.shapes.get(key) == () else None
