"""Who is handed all settings at once: few; everybody else gets the groups that it reads."""

import ast
import pathlib
import re

import pytest

import micle_tf
from micle_tf.config import Config

# The command line and what it decides by; modes; what opens data and recalls how it was prepared;
# the run directory; the workers' comparison; the model card; the plan of a study, which compares.
WHOLE = re.compile(
    r"cli|demo|inheritance|recipes|starts|next_steps|run_config|run_names|dataset_names|model_card|settings"
    r"|config/\w+|modes/\w+|data/(cases|earlier|places|prepare|preview|sources)|training/(state|workers)|study/plan"
)

CARRIED = "micle_tf/evaluation/classifier.py:"


def takers(source):
    """(line, name) of functions with a parameter, and of classes with a field, that is by name or
    type a whole `Config`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            fields = [part for part in node.body if isinstance(part, ast.AnnAssign)]
            kinds = [ast.unparse(field.annotation) for field in fields]
            found += [(node.lineno, node.name) for kind in kinds if re.search(r"\bConfig\b", kind)]
        if isinstance(node, (ast.FunctionDef, ast.Lambda)):
            named = node.args
            for argument in (*named.posonlyargs, *named.args, *named.kwonlyargs):
                kind = ast.unparse(argument.annotation) if argument.annotation else ""
                if argument.arg == "config" or re.search(r"\bConfig\b", kind):
                    found.append((node.lineno, getattr(node, "name", "lambda")))
    return found


def test_no_room_takes_a_whole_configuration():
    folder = pathlib.Path(micle_tf.__file__).parent
    paths = sorted(folder.rglob("*.py"))
    names = {path: path.relative_to(folder).with_suffix("").as_posix() for path in paths}
    found = [
        f"micle_tf/{name}.py:{line}: {function}: take the groups that it reads, `config.part`"
        for path, name in names.items()
        if not WHOLE.fullmatch(name)
        for line, function in takers(path.read_text(encoding="utf-8"))
    ]
    # A classifier that was put together again carries its run's, for the card and for modes.
    assert [line for line in found if not line.startswith(CARRIED)] == []
    assert len(found) == 1
    allowed = {name for name in names.values() if WHOLE.fullmatch(name)}
    assert len(allowed) < len(names) / 3  # the exception, and not the rule


@pytest.mark.parametrize(
    "source, expected",
    [
        ("def f(config): pass", [(1, "f")]),
        ("def f(a, *, settings: Config | None = None): pass", [(1, "f")]),
        ("g = lambda config: config.seed", [(1, "lambda")]),
        ("class A:\n    def __init__(self, config): pass", [(2, "__init__")]),
        ("class A:\n    seed: int\n    settings: Config", [(1, "A")]),
        ("def f(encoder: Encoder, *, seed): pass", []),
    ],
)
def test_who_takes_one_is_noticed(source, expected):
    assert takers(source) == expected


def test_a_group_is_no_bag():
    """None has more than a third of all settings, and the largest ones say which data it is."""
    sizes = {group.__name__: len(group.__dataclass_fields__) for group in Config.__mro__[1:-1]}
    assert max(sizes, key=sizes.get) == "Source" and sizes["Source"] < 15
