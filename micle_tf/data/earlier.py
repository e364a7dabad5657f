"""Data of versions that took ids, blanks and names of columns literally: how to get it again."""

import itertools
import os
import shlex

from data_builders.reading.columns import exact_only
from data_builders.reading.tables import Table
from data_builders.schema import BadData
from micle_tf.data import places
from micle_tf.data.sources import configuration_of
from micle_tf.dataset_names import dataset_names, is_own
from micle_tf.errors import BadInput

_LITERAL = {"ids": "literal", "missing": ""}


def flags_of_before(config, there):
    """The flags with which the files of a config are read as a run read them that began earlier.

    Args:
      config: `Config`, with which they give other data.
      there: name of the data of that run, as in `CaseData`.

    Returns:
      "--ids=literal --missing=" and the like, as few as will do; "" if there is no such way.
    """
    names = dataset_names(config)
    if len(names) > 1 or not is_own(names[0]):
        return ""
    (name,) = names
    try:
        config, gone = places.locate(config, name)
    except BadInput:  # its files are nowhere
        return ""
    changes = _LITERAL if config.manifest else {"ids": _LITERAL["ids"]}
    if config.manifest and (columns := _exact_columns(config)):
        changes = changes | {"columns": columns}
    changes = {flag: value for flag, value in changes.items() if value != getattr(config, flag)}
    reads = lambda some: there in _names_of(config.replace(**dict(some)), name)
    if gone or not reads(changes.items()):
        return ""
    subsets = (
        some
        for number in range(1, len(changes) + 1)
        for some in itertools.combinations(changes.items(), number)
    )
    return shlex.join(f"--{flag}={value}" for flag, value in next(filter(reads, subsets)))


def _exact_columns(config):
    try:
        return exact_only(Table(os.path.expanduser(config.manifest)), config.columns)
    except BadData:  # a folder, or what was never read
        return ""


def _names_of(config, name):
    """The names that the data may have: with the photos upright, and as they were seen before."""
    try:
        plain = configuration_of(config, name)
    except BadInput:
        return ()
    if isinstance(plain, str):
        return ()
    dataset = name.partition("/")[0]
    return [f"{dataset}/{one.name}" for one in (plain, plain.seen_otherwise())]


def what_changed(flags):
    """Why data is other than it was, for a message."""
    return (
        "ids that differ in spelling, texts that stand for nothing, names of columns or studies "
        f"are read otherwise since; with {flags} the files are read as that run read them"
    )
