"""What stands at the keys of a study's file, each of the kind that the key takes, and flags.

All raise BadInput, one line that begins with the key or table, for a value of another kind.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from micle_tf.config import Config
from micle_tf.errors import BadInput
from micle_tf.settings import nearest

FLAGS = {field.name: field for field in dataclasses.fields(Config)}


def table(file: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The table [key]; {} where there is none."""
    return _table(file.get(key, {}), f"[{key}]")


def tables(file: Mapping[str, Any], key: str) -> list[tuple[str, dict[str, Any]]]:
    """(name, table) of each [key.name]."""
    return [(name, _table(of, f"[{key}.{name}]")) for name, of in table(file, key).items()]


def text(file: Mapping[str, Any], key: str, where: str = "") -> str:
    """ "" where it is not stated."""
    value = file.get(key, "")
    if key in file and not (isinstance(value, str) and value.strip()):
        raise BadInput(f"{where}{key}: expected a text that is not empty, or leave it out")
    return value


def numbers(file: Mapping[str, Any], key: str, flag: str, usual: list[Any]) -> list[Any]:
    """A list of values of a flag."""
    values = _list(file.get(key, usual), key)
    for value in values:
        check({flag: value}, f"{key}:")
    return [_of_its_type(flag, value) for value in values]


def chains(file: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """{variant: names of its stages}."""
    found = {}
    for name, chain in table(file, "variants").items():
        where = f"[variants] {name}"
        if not all(isinstance(stage, str) for stage in _list(chain, where)):
            raise BadInput(f"{where}: expected a list of stages by their names")
        found[name] = tuple(chain)
    return found


def flags(stated: Mapping[str, Any], where: str) -> dict[str, Any]:
    """{flag: value} of a table, of which `where` is the name."""
    for name in stated:
        if name not in FLAGS:
            raise BadInput(f"{where} {name}: no such flag{nearest(name, FLAGS)}")
    return {name: _of_its_type(name, value) for name, value in stated.items()}


def lists(stated: Mapping[str, Any], where: str) -> dict[str, tuple[Any, ...]]:
    """{flag: values to try} of a table, of which `where` is the name."""
    if not stated:
        raise BadInput(f"{where}: nothing to try; add FLAG = [VALUE, VALUE]")
    flags(stated, where)
    found = {name: _list(listed, f"{where} {name}") for name, listed in stated.items()}
    return {name: tuple(_of_its_type(name, v) for v in listed) for name, listed in found.items()}


def check(stated: Mapping[str, Any], where: str) -> None:
    """Raises BadInput for a value that no mode takes."""
    try:
        Config(**stated)
    except BadInput as error:
        raise BadInput(f"{where} {error}") from None


def check_spelling(names: Iterable[str], key: str) -> None:
    """Raises BadInput where names of folders, of tables [key.name], differ in capitals alone.

    Some file systems take them for one.
    """
    found: dict[str, str] = {}
    for name in names:
        other = found.setdefault(name.lower(), name)
        if other != name:
            raise BadInput(
                f"[{key}.{name}]: differs from [{key}.{other}] in capitals alone; choose another "
                "name"
            )


def _table(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadInput(f"{where}: expected a table")
    return value


def _list(value: Any, where: str) -> list[Any]:
    """A list of different values."""
    if not isinstance(value, list) or not value:
        raise BadInput(f"{where}: expected a list of at least one value")
    for k, one in enumerate(value):
        if one in value[:k]:
            raise BadInput(f"{where}: {one} is there twice")
    return value


def _of_its_type(flag: str, value: Any) -> Any:
    """A float where a flag is one and an int was written; large ones are refused as they are."""
    is_int = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if FLAGS[flag].type is float and is_int and abs(value) < 2**53 else value
