"""Where the file of a study is found, and where the study lies."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

from micle_tf import recipes
from micle_tf.config import Config
from micle_tf.dataset_names import dataset_names, file_name
from micle_tf.errors import BadInput
from micle_tf.settings import Tag, nearest, tagged

STUDIES = recipes.RECIPES / "studies"


def path_of(name: str) -> pathlib.Path:
    """The file of a study: as it is typed, among our own, or by the name of one of ours.

    Raises:
      BadInput: there is no such file.
    """
    path = recipes.path_of(name)
    if os.path.isfile(path):  # False, too, of what cannot be looked at
        return path
    ours = sorted(one.stem for one in STUDIES.glob("*.toml"))
    if name in ours:
        return STUDIES / f"{name}.toml"
    hint = nearest(path.stem, ours)
    raise BadInput(f"--study={name}: no such file, and none of {', '.join(ours)}{hint}")


def default_place(name_of_study: str, flags: Mapping[str, Any]) -> str:
    """runs/<data>/study-<name>: the directory of a study that names none.

    Args:
      name_of_study: of its file, without .toml.
      flags: of its first run that is judged.

    Raises:
      BadInput: neither the line nor the file says on which data it is judged.
    """
    data = {name: flags[name] for name in tagged(Config, Tag.NAMES_DATA) if name in flags}
    if not data:
        raise BadInput(
            f"--study={name_of_study}: names no data to judge on; add --manifest=cases.csv or "
            "--dataset=NAME"
        )
    config = Config.of_mode("pretrain", **data)
    name = file_name(dataset_names(config))
    if config.manifest:
        name += "-" + os.path.splitext(os.path.basename(os.path.normpath(config.manifest)))[0]
    return os.path.join("runs", name, f"study-{name_of_study}")
