"""Which file a path of weights means: of folders, of prefixes, of files."""

import os
import re
from typing import NamedTuple

from micle_tf.errors import BadInput
from micle_tf.pretrained import seeming
from micle_tf.pretrained.storage import check_reachable, is_file, is_folder, names_in, read

_INDEX, _KERAS = ".index", ".keras"


class Found(NamedTuple):
    """Weights: the prefix of a TensorFlow checkpoint, or a .keras file."""

    path: str
    is_keras: bool


def is_weights(path: str | os.PathLike[str]) -> bool:
    """Whether a path has something that is no run of ours, and so can only be others' weights.

    Looks at no more than the names of files, and loads TensorFlow for remote paths alone.
    """
    path = _trimmed(os.fspath(path))
    if is_file(path) or is_file(path + _INDEX):
        return True
    return is_folder(path) and not is_file(os.path.join(path, "config.json"))


def find(path: str, where: str) -> Found:
    """The weights that a path means.

    Args:
        path: of a folder with a checkpoint (the newest that a file `checkpoint` names, whatever
            folder that says), with the `variables` of a SavedModel, or with a .keras file; of a
            checkpoint, with or without the ending of one of its files; of a .keras file.
        where: what an error starts with, as "--checkpoint=PATH".

    Raises:
        BadInput: there is nothing, several, or something else; it says what it seems to be.
    """
    path = _trimmed(path)
    check_reachable(path, where)
    if is_file(path + _INDEX):  # before folders: ram:// takes every start of a name for one
        return Found(path, False)
    if is_folder(path):
        found = _in_folder(path, where)
        if found is None:
            raise BadInput(f"{where}: {seeming.folder(path)}; {seeming.TAKEN}")
        return found
    if is_file(path):
        return _of_file(path, where)
    if any(name.startswith(os.path.basename(path) + ".data-") for name in _beside(path)):
        raise BadInput(f"{where}: its .index is missing, which is a part of a checkpoint")
    raise BadInput(f"{where}: there is no such file or folder")


def weights_folder(found: Found) -> str:
    """The name of the first folder above the weights that says something.

    "r50_1x_sk0" of "r50_1x_sk0/saved_model/variables/variables"; "weights" if none has a name.
    """
    _, mark, path = found.path.rpartition("://")
    parts = (path if mark else os.path.abspath(path)).split("/")[:-1]
    said = [part for part in parts if part and part not in ("variables", "saved_model")]
    return said[-1] if said else "weights"


def _trimmed(path: str) -> str:
    """Without slashes in the end, and with the home folder in the place of ~."""
    scheme, mark, rest = path.rpartition("://")
    return scheme + mark + rest.rstrip("/") if mark else os.path.expanduser(path).rstrip("/") or "/"


def _beside(path: str) -> list[str]:
    return names_in(os.path.dirname(path) or ".")


def _of_file(path: str, where: str) -> Found:
    folder, name = os.path.split(path)
    if name.endswith(_INDEX):
        return Found(path.removesuffix(_INDEX), False)
    if shard := re.fullmatch(r"(.+)\.data-\d{5}-of-\d{5}", path):
        return find(shard[1], where)
    if name in ("checkpoint", "saved_model.pb"):
        return find(folder or ".", where)
    if name.endswith(_KERAS) and seeming.is_zip(path):
        return Found(path, True)
    raise BadInput(f"{where}: {seeming.file(path)}; {seeming.TAKEN}")


def _in_folder(folder: str, where: str) -> Found | None:
    names = names_in(folder)
    state_file = "checkpoint" in names and is_file(os.path.join(folder, "checkpoint"))
    if state_file and (prefix := _listed(folder, names)):
        return Found(prefix, False)
    for inner in ("variables", "saved_model"):
        place = os.path.join(folder, inner)
        if is_folder(place) and (found := _in_folder(place, where)):
            return found
    prefixes = [
        name.removesuffix(_INDEX) for name in names if len(name) > 6 and name.endswith(_INDEX)
    ]
    files = prefixes or [name for name in names if name.endswith(_KERAS)]
    if len(files) > 1:
        raise BadInput(f"{where}: has {len(files)} files of weights; name one, as {files[-1]}")
    if files:
        return Found(os.path.join(folder, files[0]), not prefixes)
    if os.path.basename(folder) == "saved_model":  # with a folder for each step
        steps = [name for name in names if name.isdigit()]
        if len(steps) == 1:
            return _in_folder(os.path.join(folder, steps[0]), where)
    return None


def _listed(folder: str, names: list[str]) -> str | None:
    """The prefix of the newest checkpoint that a state file lists and that lies beside it.

    The file may have been written elsewhere, so that only the last parts of its paths count.
    """
    text = read(os.path.join(folder, "checkpoint")).decode(errors="replace")
    listed = re.findall(r'^\s*(?:all_)?model_checkpoint_paths?: "(.*)"', text, re.MULTILINE)
    for path in [*listed[:1], *reversed(listed[1:])]:  # the newest stands first, and last again
        name = re.split(r"[/\\]", path)[-1]
        if name + _INDEX in names:
            return os.path.join(folder, name)
    return None
