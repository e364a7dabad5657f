"""TensorFlow checkpoints: their tensors one by one, and the graph of the objects that had them."""

import collections
import hashlib
import os
import re
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from micle_tf.errors import BadInput
from micle_tf.files import reason_of
from micle_tf.pretrained.blueprint import Shape
from micle_tf.pretrained.storage import names_in, read, size_of

GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
# What the reader makes of damaged files; OpError itself is its own of what makes no sense at all.
_DAMAGE = (
    tf.errors.DataLossError,
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.OutOfRangeError,
    tf.errors.InternalError,
    tf.errors.UnimplementedError,
)


class Checkpoint:
    """The tensors of a checkpoint, read when they are asked for.

    Args:
        prefix: the path of the checkpoint without its endings; local or of `tf.io.gfile`.
        where: what errors start with.

    Raises:
        BadInput: an index or a part of the data is not there, or not whole.
    """

    def __init__(self, prefix: str, where: str) -> None:
        self.prefix, self._where = prefix, where
        try:
            # tf.train.load_checkpoint would take a prefix on ram:// for a folder.
            self._reader = tf.compat.v1.train.NewCheckpointReader(prefix)
            shapes = self._reader.get_variable_to_shape_map()
            self._dtypes = self._reader.get_variable_to_dtype_map()
        except Exception as error:
            raise self._told(error) from None
        self.shapes: dict[str, Shape] = {key: tuple(shape) for key, shape in shapes.items()}
        self._check_data()

    @property
    def sha256(self) -> str:
        """Of the index, which has a checksum of every tensor."""
        return hashlib.sha256(read(f"{self.prefix}.index")).hexdigest()

    def read(self, key: str) -> np.ndarray:
        """A tensor; raises BadInput if the data is damaged."""
        try:
            return self._reader.get_tensor(key)
        except Exception as error:
            raise self._told(error) from None

    def _check_data(self) -> None:
        """Raises BadInput if the data files are not there, or shorter than their tensors."""
        folder, name = os.path.split(self.prefix)
        pattern = re.compile(rf"{re.escape(name)}\.data-(\d{{5}})-of-(\d{{5}})")
        parts = [match for file in names_in(folder or ".") if (match := pattern.fullmatch(file))]
        if not parts or len(parts) < int(parts[0][2]):
            raise BadInput(f"{self._where}: {name}.data-00000-of-00001 or a part of it is missing")
        there = sum(size_of(os.path.join(folder, match[0])) for match in parts)
        needed = sum(
            int(np.prod(shape, dtype=np.int64)) * self._dtypes[key].size
            for key, shape in self.shapes.items()
            if self._dtypes[key] != tf.string
        )
        if there < needed:
            raise BadInput(
                f"{self._where}: {name}.data is truncated: {there:,} bytes, and its tensors need "
                f"{needed:,}"
            )

    def _told(self, error: Exception) -> Exception:
        """BadInput of an error that a damaged file leads to; others as they are."""
        damaged = isinstance(error, _DAMAGE) or type(error) in (tf.errors.OpError, RuntimeError)
        if not damaged and not isinstance(error, (ValueError, IndexError)):
            return error
        name = os.path.basename(self.prefix)
        return BadInput(
            f"{self._where}: {name} is damaged or no TensorFlow checkpoint: {reason_of(error)}"
        )


class ObjectGraph:
    """The objects that a checkpoint was written of, each with the names of its parts.

    Args:
        checkpoint: one that has `GRAPH` among its tensors.

    Raises:
        BadInput: the graph is damaged.
    """

    def __init__(self, checkpoint: Checkpoint, where: str) -> None:
        graph = trackable_object_graph_pb2.TrackableObjectGraph()
        content = checkpoint.read(GRAPH)
        try:
            graph.ParseFromString(bytes(content))
        except Exception:  # protobuf's, which has another place in every version
            raise BadInput(f"{where}: its graph of objects is damaged") from None
        self._nodes = graph.nodes

    def find(self, path: str, start: int = 0) -> int | None:
        """The number of the object at a path such as "model/resnet_model"; None if none is."""
        node = start
        for name in path.split("/"):
            parts = self.parts(node)
            if name not in parts:
                return None
            node = parts[name]
        return node

    def parts(self, node: int) -> dict[str, int]:
        """{name: object} of the parts of an object."""
        return {child.local_name: child.node_id for child in self._nodes[node].children}

    def variables(self, node: int) -> dict[str, str]:
        """{name: key in the checkpoint} of the variables that an object has itself."""
        found = {}
        for name, part in self.parts(node).items():
            for attribute in self._nodes[part].attributes:
                if attribute.name == "VARIABLE_VALUE":
                    found[name] = attribute.checkpoint_key
        return found

    def all_below(self, node: int) -> dict[str, str]:
        """{key in the checkpoint: name in the program} of every variable below an object."""
        found, seen, waiting = {}, {node}, collections.deque([node])
        while waiting:
            node = waiting.popleft()
            for attribute in self._nodes[node].attributes:
                if attribute.name == "VARIABLE_VALUE":
                    found[attribute.checkpoint_key] = attribute.full_name
            fresh = [part for part in self.parts(node).values() if part not in seen]
            seen.update(fresh)
            waiting.extend(fresh)
        return found

    def names(self) -> Iterator[str]:
        """The names that variables had in the program, and those of parts of objects."""
        for node in self._nodes:
            yield from (attribute.full_name for attribute in node.attributes)
            yield from (child.local_name for child in node.children)
