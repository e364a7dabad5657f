"""What is to be compared: variants, of which each was trained once or several times.

A variant is the predictions of one run, of several runs that differ in their seed, or of somebody
else, in a CSV file.
"""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence

from micle_tf import console
from micle_tf.config import Config
from micle_tf.errors import BadInput
from micle_tf.evaluation.matching import matched
from micle_tf.evaluation.predictions_file import (
    Rows,
    read_bytes,
    read_others,
    read_predictions,
    read_validation,
    with_cases_of,
)

# In which the seeds of a variant may differ: where they are, and what they go on from.
_OF_SEEDS = ("seed", *(one.name for one in dataclasses.fields(Config) if one.metadata["path"]))


@dataclasses.dataclass(frozen=True)
class Variant:
    """Predictions of a variant.

    Attributes:
      name: as it was typed.
      seeds: the rows of each seed, which are the same images, in the same order, of all variants
        that were read together.
      validation: what each seed predicted of the split that chose it, if that was asked for; None
        where nothing was kept of it.
    """

    name: str
    seeds: tuple[Rows, ...]
    validation: tuple[Rows | None, ...] = ()


@dataclasses.dataclass(frozen=True)
class Variants:
    """Variants of the same rows.

    Attributes:
      all: the variants; the others are compared with the first.
      names: of the classes or findings.
      multilabel: whether they are findings.
    """

    all: tuple[Variant, ...]
    names: tuple[str, ...]
    multilabel: bool


def read_variants(
    texts: Sequence[str],
    common: bool = False,
    allow_seen: bool = False,
    *,
    validation: bool = False,
) -> Variants:
    """Reads what is to be compared, and brings the rows of all into the order of the first.

    Args:
      texts: a variant each: run directories with commas between them, or a file that ends with
        .csv, see `predictions_file.read_others`. One at least names runs, from the first of which
        labels, cases and patients of such a file are.
      common: take the rows that all have, with the same label, and leave out the others.
      allow_seen: take also a run that learned from what it was judged on.
      validation: read what runs keep of their validation as well.

    Raises:
      BadInput: a file is missing or damaged; variants of other numbers of seeds; they are not of
        the same rows, labels and names, or share none; or one learned from images that it was
        judged on, labels and all.
    """
    for which, text in zip("A" + "B" * (len(texts) - 1), texts, strict=True):
        if not text.strip():
            raise BadInput(f"{which}: empty name")
    paths = {text: _paths(text) for text in texts}
    _check_seeds(texts, paths)
    for of_variant in paths.values():
        _say_unlike(of_variant)
    found = variants_of(paths, common, allow_seen)
    by_name = {variant.name: variant for variant in found.all}
    if validation:
        by_name = {
            name: dataclasses.replace(one, validation=tuple(map(_validation, paths[name])))
            for name, one in by_name.items()
        }
    return dataclasses.replace(found, all=tuple(by_name[text] for text in texts))


def variants_of(
    paths: Mapping[str, Sequence[str]], common: bool = False, allow_seen: bool = False
) -> Variants:
    """As `read_variants`, of the runs or files of each variant, by its name."""
    every = list(dict.fromkeys(path for of_variant in paths.values() for path in of_variant))
    runs = [path for path in every if not _is_foreign(path)]
    file = next((path for path in runs if os.path.isfile(path)), None)
    if file:
        raise BadInput(f"{file}: a file of predictions ends in .csv")
    if not runs:
        raise BadInput(f"{every[0]}: has no labels; compare it with a run, from which they are")
    tables, names, multilabel = _tables_of_runs(runs, allow_seen)
    if len(runs) < len(every):
        first = tables[runs[0]]
        # The cases of all are then made alike, and the same images say the same of their case.
        tables = {run: with_cases_of(rows["image"], rows) for run, rows in tables.items()}
        for path in every:
            if _is_foreign(path):
                tables[path] = read_others(path, first, names, multilabel, common)
    in_order = matched([(path, tables[path]) for path in every], common)
    rows_of = dict(zip(every, in_order, strict=True))
    return Variants(
        tuple(Variant(name, tuple(rows_of[path] for path in of)) for name, of in paths.items()),
        names,
        multilabel,
    )


def _validation(path: str) -> Rows | None:
    return None if _is_foreign(path) else read_validation(path)


def _paths(text: str) -> list[str]:
    """The runs, or the file, that an argument names; a folder may have a comma in its name."""
    if os.path.exists(text):
        return [text]
    paths = [path.strip() for path in text.split(",")]
    if not all(paths):
        raise BadInput(f"{text}: a name between two commas is empty")
    if len(set(map(_place, paths))) < len(paths):
        raise BadInput(f"{text}: the same run twice is no second seed")
    return paths


def _place(path: str) -> str:
    """The same of one folder, however it is spelled."""
    return path if "://" in path else os.path.realpath(path)


def _is_foreign(path: str) -> bool:
    return path.lower().endswith(".csv") and not os.path.isdir(path)


def _check_seeds(texts: Sequence[str], paths: dict[str, list[str]]) -> None:
    first = texts[0]
    for text in texts:
        if len(paths[text]) != len(paths[first]):
            raise BadInput(
                f"{text}: {console.count(len(paths[text]), 'seed')}, but {first} has "
                f"{len(paths[first]):,}; seeds are paired in their order"
            )


def _say_unlike(runs: Sequence[str]) -> None:
    """Says where the runs of a variant differ in more than their seed and places, or not in it."""
    configs = [(run, config) for run in runs if (config := _config_of(run))]
    for run, config in configs[1:]:
        first_run, first = configs[0]
        unlike = [name for name in first.differences(config) if name not in _OF_SEEDS]
        if unlike:
            console.say(
                f"note: {run} differs from {first_run} in more than its seed: {', '.join(unlike)}"
            )
        # Of `evaluate`, the seed is that of the resampling.
        elif config.seed == first.seed and config.mode != "evaluate":
            console.say(f"note: {run} has the seed of {first_run}, {config.seed}")


def _config_of(run: str) -> Config | None:
    """None where a run does not tell, such as one that is predictions alone."""
    try:
        return Config.from_json(read_bytes(os.path.join(run, "config.json")).decode())
    except (BadInput, ValueError, TypeError, AttributeError):
        return None


def _tables_of_runs(
    runs: Sequence[str], allow_seen: bool
) -> tuple[dict[str, Rows], tuple[str, ...], bool]:
    """(rows by run, names, multilabel), of runs that may be compared."""
    read = {run: read_predictions(run) for run in runs}
    _, names, multilabel = read[runs[0]]
    for run, (rows_of, *kind) in read.items():
        if kind != [names, multilabel]:
            raise BadInput(f"{run}: predicts other classes or findings than {runs[0]}")
        for rows in rows_of.values():
            if rows["score"].min() < 0 or rows["score"].max() > 1:
                raise BadInput(f"{run}: its predictions.csv holds a probability outside 0 to 1")
    for run in runs:
        _refuse_seen(run, allow_seen)
    _say_other_data(runs)
    return {run: rows for run, (rows, *_) in read.items()}, names, multilabel


def _refuse_seen(run: str, allowed: bool) -> None:
    """Raises BadInput if a run's result.json says that it learned from what it was judged on."""
    try:
        result = json.loads(read_bytes(os.path.join(run, "result.json")))
        if "seen" not in result:  # of an earlier version
            console.say(f"note: what {run} had seen before it was judged cannot be checked")
            return
        learned, judged = (result["seen"][name]["images"] for name in ("learned", "judged"))
    except (BadInput, ValueError, KeyError, TypeError):  # predictions alone
        return
    if learned:
        what = f"{learned:,} of the {judged:,} images that it was judged on"
        if not allowed:
            raise BadInput(
                f"{run}: learned from {what}, labels and all, which is no comparison; judge it on "
                "others, or go on with --allow_seen"
            )
        console.say(f"warning: {run} learned from {what}")


def _say_other_data(runs: Sequence[str]) -> None:
    first, *others = [(run, data) for run in runs if (data := _data_of(run))] or [("", "")]
    for run, data in others:
        if data != first[1]:
            console.say(
                f"note: {first[0]} was judged on {first[1]}, {run} on {data}: images are matched "
                "by name"
            )


def _data_of(run: str) -> str:
    """The name of the prepared data that a run was judged on; "" if it does not say."""
    try:
        return json.loads(read_bytes(os.path.join(run, "config.json"))).get("data", "")
    except (BadInput, ValueError, AttributeError):
        return ""
