"""A study as its TOML file states it.

dataset = "derm_cases"
label_fractions = [0.1, 1.0]
seeds = [0, 1, 2]

[stages.simclr]                # flags of a run, by their names
mode = "pretrain"
method = "simclr"

[stages.finetune]
mode = "finetune"

[variants]
supervised = ["finetune"]
simclr = ["simclr", "finetune"]

[grid.finetune]                # chosen on validation, with the first seed
learning_rate = [0.01, 0.1]
"""

import dataclasses
import pathlib
import tomllib
from collections.abc import Mapping
from typing import Any

from micle_tf.errors import BadInput
from micle_tf.settings import nearest
from micle_tf.study import architectures, checks, entries
from micle_tf.study.entries import FLAGS
from micle_tf.study.specification import Study


def read(path: pathlib.Path) -> Study:
    """The study of a file; raises BadInput as `parse` does, or where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # as some editors mark it
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read ({error})") from None
    return _parsed(text, path.name.removesuffix(".toml"), str(path))


def parse(text: str, name: str) -> Study:
    """The study of a text.

    Args:
      text: TOML.
      name: of the study: its file's, without .toml.

    Raises:
      BadInput: one line that names the file and the table, and what to do: it is no TOML; a key,
        stage, flag or value that does not exist, is there twice, or would do nothing; a variant
        that is judged nowhere; a flag that the study decides.
    """
    return _parsed(text, name, f"{name}.toml")


def _parsed(text: str, name: str, where: str) -> Study:
    """As `parse`; `where` begins messages."""
    try:
        table = tomllib.loads(text)
        repr(table)  # of 0xfff... no message could say the number, nor of tables without end
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, and what it lets through
        raise BadInput(f"{where}: no TOML ({error})") from None
    try:
        return _study(table, name)
    except BadInput as error:
        raise BadInput(" ".join(f"{where}: {error}".splitlines())) from None


def _study(table: dict[str, Any], name: str) -> Study:
    """The study of a file's keys; messages begin with the key or table."""
    _check_keys(table)
    variants = entries.chains(table)
    stages, weights = architectures.without_weights(dict(entries.tables(table, "stages")))
    study = Study(
        name=name,
        dataset=entries.text(table, "dataset"),
        manifest=entries.text(table, "manifest"),
        label_fractions=tuple(
            sorted(entries.numbers(table, "label_fractions", "label_fraction", [1.0]))
        ),
        seeds=tuple(entries.numbers(table, "seeds", "seed", [0])),
        primary=entries.text(table, "primary"),
        reference=entries.text(table, "reference") or next(iter(variants)),
        common=entries.flags(entries.table(table, "common"), "[common]"),
        stages={s: entries.flags(flags, f"[stages.{s}]") for s, flags in stages.items()},
        variants=variants,
        architectures={
            name: entries.flags(flags, f"[architectures.{name}]")
            for name, flags in entries.tables(table, "architectures")
        },
        weights=weights,
        grid={s: entries.lists(flags, f"[grid.{s}]") for s, flags in entries.tables(table, "grid")},
        select={
            s: entries.text(table["select"], s, "[select] ") for s in entries.table(table, "select")
        },
    )
    checks.check(study)
    return study


def _check_keys(table: Mapping[str, Any]) -> None:
    known = [f.name for f in dataclasses.fields(Study) if f.name not in ("name", "weights")]
    for key in table:
        if key not in known:
            flag = "; flags stand in [common] or in a stage"
            hint = flag if key in FLAGS else nearest(key, known)
            raise BadInput(f"{key}: no such key{hint}")
    if not entries.table(table, "stages"):
        raise BadInput('no stages; add [stages.NAME] with mode = "finetune"')
    if not entries.table(table, "variants"):
        raise BadInput('no variants; add [variants] with NAME = ["STAGE", "STAGE"]')
