"""Weights in .keras files: the encoder of our exports, and others that have its layers.

Read without building the model, and without running what the file says.
"""

import contextlib
import hashlib
import re
import weakref
import zipfile
from collections.abc import Iterator

import h5py
import numpy as np

from micle_tf.errors import BadInput
from micle_tf.files import reason_of
from micle_tf.pretrained import seeming
from micle_tf.pretrained.contents import Contents, Source
from micle_tf.pretrained.storage import on_disk

_WEIGHTS = "model.weights.h5"
_OURS = re.compile(r"(initial|block_group\d+_unit\d+)_(\w+_)?(conv|norm)\d?")
# In the order in which Keras writes them.
_VARIABLES = {
    "conv": ("kernel", "bias"),
    "norm": ("gamma", "beta", "moving_mean", "moving_variance"),
}


class KerasFile:
    """The variables of a .keras file; raises BadInput if it is damaged, or too old."""

    def __init__(self, path: str, where: str) -> None:
        self._where = where
        stack = contextlib.ExitStack()
        self.close = weakref.finalize(self, stack.close)
        with self._damage_told():
            archive = stack.enter_context(zipfile.ZipFile(stack.enter_context(on_disk(path))))
            info = archive.getinfo(_WEIGHTS)
            self._file = stack.enter_context(h5py.File(stack.enter_context(archive.open(info))))
            # The archive has a checksum of the weights; the file in it has no dates.
            self.sha256 = hashlib.sha256(f"{info.CRC} {info.file_size}".encode()).hexdigest()
            self.layers = self._layers()

    def read(self, key: str) -> np.ndarray:
        """The variable at a path in the file of weights."""
        with self._damage_told():
            return self._file[key][()]

    def _layers(self) -> list[tuple[str, dict[int, Source]]]:
        """(name of the layer, {number: variable}) of every layer with variables."""
        found = []

        def look(path: str, item: h5py.Group | h5py.Dataset) -> None:
            if path.endswith("vars") and isinstance(item, h5py.Group) and len(item):
                layer = item.attrs.get("name") or path.split("/")[-2]
                layer = layer.decode() if isinstance(layer, bytes) else layer
                found.append(
                    (layer, {
                        int(number): Source(f"{path}/{number}", value.shape, f"{layer}/{number}")
                        for number, value in item.items()
                        if number.isdigit()
                    })
                )  # fmt: skip
            elif path.endswith("vars") and "name" in item.attrs:
                self.empty.add(item.attrs["name"])

        self.empty: set[str] = set()
        self._file.visititems(look)
        return found

    @contextlib.contextmanager
    def _damage_told(self) -> Iterator[None]:
        try:
            yield
        except (zipfile.BadZipFile, OSError, KeyError, RuntimeError, ValueError) as error:
            raise BadInput(
                f"{self._where}: is damaged, or no Keras model: {reason_of(error)}"
            ) from None


def contents(path: str, where: str) -> Contents:
    """What a .keras file holds.

    Raises:
        BadInput: it is damaged, has no layers of ours, or has an encoder twice.
    """
    file = KerasFile(path, where)
    encoder: dict[str, Source] = {}
    others = []
    for layer, variables in file.layers:
        match = _OURS.fullmatch(layer)
        names = _VARIABLES[match[3]] if match else ()
        for number, source in variables.items():
            if number >= len(names):
                others.append(source.name)
                continue
            name = f"{layer}/{names[number]}"
            if name in encoder:
                raise BadInput(f"{where}: has {name} twice, so that it has two encoders")
            encoder[name] = source._replace(name=name)
    if not encoder:
        said = seeming.family(layer for layer, _ in file.layers)
        raise BadInput(f"{where}: {said}; {seeming.TAKEN}")
    return Contents(
        "a Keras model",
        encoder,
        {},
        {},
        [],
        sorted(others),
        file.read,
        file.sha256,
        resnet_d="block_group1_unit0_shortcut_pool" in file.empty,
    )
