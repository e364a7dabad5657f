"""What something that cannot be taken seems to be, in a few words for a person."""

import os
import re
import zipfile
from collections.abc import Iterable

from micle_tf.pretrained.storage import is_folder, names_in, on_disk, read

TAKEN = (
    "taken are SimCLR's checkpoints and SavedModels (google-research/simclr, TF1 and TF2) and "
    ".keras encoders as --mode=export writes them"
)

_STARTS = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras's .h5 weights"),
    (b"\x93NUMPY", "a numpy array"),
    (b"\x80\x02", "a pickle, as of an old PyTorch file"),
    (b"\x80\x03", "a pickle"),
    (b"\x80\x04", "a pickle"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
)

# Names that other families have, of layers or variables, and what they are called.
_FAMILIES = (
    (r"standardized_conv2d|root_block|group_norm", "BiT's or REMEDIS's, ResNets with group norms"),
    (r"\bconv[1-5]_block\d+_\d|\bconv1_(conv|bn)\b", "of a ResNet of keras.applications"),
    (r"resnet_v[12]_\d+/", "of a ResNet of TF-Slim"),
    (r"[Ee]ncoder_?[Bb]lock|transformer|attention|patch_embed", "of a transformer"),
    (r"(?i)(mobilenet|efficientnet|densenet|inception|convnext|vgg\d)", "of another network"),
    (r"block\d+[a-z]?_(expand|se|dw)", "of an EfficientNet or MobileNet"),
)
_OPTIMIZER = r"(?i)optimizer|/(momentum|adam(_1)?|rmsprop|LARSOptimizer|iterations?|iter)\b"
_BOOKKEEPING = r"_CHECKPOINTABLE_OBJECT_GRAPH|save_counter|global_step|learning_rate"


def file(path: str) -> str:
    """ "it is a PyTorch file": of a file that is neither a checkpoint's nor a .keras."""
    start = read(path, 4096)
    if not start:
        return "it is an empty file"
    if is_zip(path):
        return _archive(path)
    for magic, words in _STARTS:
        if start.startswith(magic):
            return f"it seems to be {words}"
    if len(start) > 9 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 1 << 30:
        return "it seems to be a safetensors file, as of PyTorch"
    if start[4:8] == b"TFL3":
        return "it seems to be a TensorFlow Lite model"
    if path.endswith(".keras"):
        return "it has the name of a Keras model, but is none, or is damaged"
    if path.endswith((".pt", ".pth", ".ckpt")):
        return "it seems to be a PyTorch file that is damaged, or no weights at all"
    if _is_text(start):
        return "it is a text file"
    return "it is nothing that is known here"


def folder(path: str) -> str:
    """ "it is an empty folder": of a folder without weights that are taken."""
    names = names_in(path)
    if not names:
        return "it is an empty folder"
    if "config.json" in names:
        return "it is a run of ours, which --checkpoint takes as it is"
    no_run = "it is no run (no config.json)"
    if any(name.endswith((".pt", ".pth", ".safetensors")) for name in names) or (
        "pytorch_model.bin" in names
    ):
        return f"{no_run}, and its weights seem to be PyTorch's"
    if "checkpoint" in names or any(".data-0" in name for name in names):
        return f"{no_run}, and has a part of a checkpoint, whose .index is missing"
    if "saved_model.pb" in names:
        return f"{no_run}, but a SavedModel without variables"
    inner = [name for name in names if is_folder(os.path.join(path, name))]
    below = f"; it has the folders {', '.join(inner[:3])}" if inner else ""
    return f"{no_run} and has no weights{below}"


def family(names: Iterable[str], more: Iterable[str] = ()) -> str:
    """ "its tensors seem to be of a ResNet of keras.applications".

    Args:
        names: of tensors or layers.
        more: other names that say something of them.
    """
    names = [name.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE") for name in names]
    names = [name for name in names if not re.fullmatch(_BOOKKEEPING, name)]
    if not names:
        return "it has no tensors"
    if all(re.search(_OPTIMIZER, name) for name in names):
        return "it has the state of an optimizer alone"
    every = {*names, *more}
    for pattern, words in _FAMILIES:
        if any(re.search(pattern, name) for name in every):
            return f"its tensors seem to be {words}"
    return f"it has no encoder of SimCLR, but tensors such as {min(names, key=len)}"


def is_zip(path: str) -> bool:
    """Whether a file starts as a zip archive, as .keras, .npz and PyTorch's do."""
    return read(path, 4) == b"PK\x03\x04"


def _archive(path: str) -> str:
    try:
        with on_disk(path) as local, zipfile.ZipFile(local) as archive:
            inside = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return "it is a zip archive that is damaged"
    if any(name.endswith("data.pkl") for name in inside):
        return "it seems to be a PyTorch file"
    if any(name.endswith(".npy") for name in inside):
        return "it seems to be an archive of numpy arrays, as BiT's"
    if "model.weights.h5" in inside:
        return "it seems to be a Keras model whose name does not end in .keras"
    return "it is a zip archive; unpack it first"


def _is_text(start: bytes) -> bool:
    try:
        text = start.decode()
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3:  # not cut inside a character
            return False
        text = start[: error.start].decode()
    return all(letter.isprintable() or letter.isspace() for letter in text)
