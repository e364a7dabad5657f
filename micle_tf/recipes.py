"""Recipes: files of flags, ours and the user's, and which of them a command goes by."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from micle_tf import program
from micle_tf.config import Config
from micle_tf.config.modes import TRAIN
from micle_tf.dataset_names import dataset_names, is_own
from micle_tf.errors import BadInput
from micle_tf.parsing import parse, take_flagfiles

RECIPES = program.recipes()
_MARK = "# for accelerators"  # of a recipe that is nothing for CPUs
_DEEPEST = 8  # files that name files


class Recipe(NamedTuple):
    """What files of flags state.

    Attributes:
      values: {field: value}.
      notes: a line each on flags that do nothing here.
      origin: "recipe flags/..."; "" without a file.
      needs_accelerator: whether one is marked as nothing for CPUs.
    """

    values: dict[str, Any]
    notes: tuple[str, ...] = ()
    origin: str = ""
    needs_accelerator: bool = False


def recipe_of(config: Config, flagfiles: Sequence[str], in_simclrs_words: bool = False) -> Recipe:
    """The flagfiles that a command names or, without any, the recipe of its dataset.

    Args:
      config: `Config`; reads mode, method and dataset.
      flagfiles: as they are typed.
      in_simclrs_words: whether SimCLR's own defaults count where a dataset is none of ours, or
        has no recipe.

    Raises:
      BadInput: a file cannot be read, or holds what is no flag.
    """
    if flagfiles:
        paths = [path_of(name) for name in flagfiles]
    else:
        dataset, *others = dataset_names(config)
        names = [f"{config.mode}_{config.method}.flags", f"{config.mode}.flags"]
        paths = [RECIPES / dataset / name for name in names if not others]
        paths = [path for path in paths if path.exists()][:1]
        if in_simclrs_words and config.mode in TRAIN and not (paths and is_own(dataset)):
            paths = [RECIPES / "simclr" / f"{config.mode}.flags"]
    if not paths:
        return Recipe({})
    values: dict[str, Any] = {}
    notes: tuple[str, ...] = ()
    for path in paths:
        read = read_flagfile(path)
        values, notes = values | read.values, notes + read.notes
    values.pop("mode", None)
    origin = f"recipe {', '.join(map(shown_path, paths))}"
    return Recipe(values, notes, origin, any(map(_is_for_accelerators, paths)))


def path_of(name: str) -> pathlib.Path:
    """The path of a flagfile: as it is typed or, if it is not there, among our own recipes."""
    path = pathlib.Path(os.path.expanduser(name))
    if path.parts[:1] == ("flags",) and not path.exists():
        ours = RECIPES.joinpath(*path.parts[1:])
        return ours if ours.exists() else path
    return path


def shown_path(path: pathlib.Path) -> str:
    """The path of a flagfile as it can be typed: our own begin with flags/, wherever they are."""
    if path.is_relative_to(RECIPES):
        return os.path.join("flags", path.relative_to(RECIPES))
    return os.path.relpath(path)


def read_flagfile(path: pathlib.Path, depth: int = 0) -> Recipe:
    """Values and notes of a flagfile; # and // start comments, and files may name others."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"--flagfile={path}: cannot be read ({error})") from None
    args = [line.strip() for line in lines if line.strip() and line.strip()[0] not in "#/"]
    stated = parse(args, where=f"{path}: ")
    values: dict[str, Any] = {}
    notes: tuple[str, ...] = ()
    for other in stated.flagfiles:
        if depth > _DEEPEST:
            raise BadInput(f"--flagfile={path}: files that name each other")
        read = read_flagfile(_named_in(path, other), depth + 1)
        values, notes = values | read.values, notes + read.notes
    return Recipe(values | stated.values, notes + stated.notes)


def _named_in(path: pathlib.Path, other: str) -> pathlib.Path:
    """The path of a flagfile that another one names: beside it, else as if it were typed."""
    beside = path.parent / os.path.expanduser(other)
    nested = beside if beside.exists() else path_of(other)
    return nested if nested.exists() else beside


def _is_for_accelerators(path: pathlib.Path) -> bool:
    """Whether a flagfile that can be read, or one that it names, has the line `_MARK`."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    others, _ = take_flagfiles([line for line in lines if line[:1] == "-"])
    return any(line.startswith(_MARK) for line in lines) or any(
        _is_for_accelerators(_named_in(path, name)) for name in others
    )
