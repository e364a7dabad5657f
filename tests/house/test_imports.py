"""What is loaded when: TensorFlow by those who compute, and imports inside functions for a reason.

Who may import whom is checked by `lint-imports`, see pyproject.toml.
"""

import ast
import functools
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
# What takes seconds to load, is an extra, or is not on every system: whoever can do without it
# imports it where it is needed.
HEAVY = {"tensorflow", "tensorflow_datasets", "tensorboard", "keras", "matplotlib", "sklearn"}
EXTRAS = {"apache_beam", "imagecodecs", "pydicom"}
OF_SOME_SYSTEMS = {"fcntl", "resource"}


@functools.cache
def modules():
    """{name: path} of every module."""
    paths = [p for top in ("micle_tf", "data_builders") for p in (ROOT / top).rglob("*.py")]
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in paths
        if not path.name.endswith("_test.py")
    }


@functools.cache
def imports_of(name):
    """[(name of what is imported, the function it is imported in or "")] of a module.

    What is imported for types alone, under TYPE_CHECKING, is not loaded.
    """
    found = []

    def look(node, function):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            inside = child.name if isinstance(child, ast.FunctionDef) else function
            if isinstance(child, ast.Import):
                found.extend((alias.name, function) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                found.extend((f"{child.module}.{alias.name}", function) for alias in child.names)
            look(child, inside)

    look(ast.parse(modules()[name].read_text()), "")
    return [(of_ours(imported), function) for imported, function in found]


def of_ours(imported):
    """The module of ours that a dotted name is in; else the package of others."""
    parts = imported.split(".")
    names = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
    return next((name for name in names if name in modules()), parts[0])


@functools.cache
def loads(name):
    """Packages of others that importing a module loads, as far as its top level says."""
    if name not in modules():
        return frozenset({name})
    top = {imported for imported, function in imports_of(name) if not function}
    return frozenset().union(*(loads(imported) for imported in top - {name}))


def test_imports_inside_functions_have_a_reason():
    faults = []
    for name in modules():
        for imported, function in imports_of(name):
            needed = loads(imported) & (HEAVY | EXTRAS | OF_SOME_SYSTEMS)
            if function and not needed - loads(name):
                faults.append(f"{name}.{function}: {imported}")
    assert faults == []


def test_who_can_do_without_tensorflow():
    for name in ("cli", "config", "evaluation.compare", "exits"):
        assert not loads(f"micle_tf.{name}") & HEAVY, name
    assert "tensorflow" in loads("micle_tf.training.loop")  # so that something is looked at


LOOK = """
import sys
from {module} import main
code = main(sys.argv[1:])
print(code, sorted({{"tensorflow", "keras"}} & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "module, arguments, code",
    [
        ("micle_tf.cli", ["--help"], 0),
        ("micle_tf.cli", ["--mode=finetune", "--help"], 0),
        ("micle_tf.cli", ["--temprature=1"], 2),
        ("micle_tf.evaluation.compare", ["a", "b"], 0),
        ("micle_tf.evaluation.compare", ["a", "none"], 2),
    ],
)
def test_answers_come_without_tensorflow(tmp_path, module, arguments, code):
    for run, score in (("a", 0.4), ("b", 0.7)):
        (tmp_path / run).mkdir()
        rows = [f"image,c{k},p{k},i{k},{'xy'[k % 2]},{score},{1 - score}" for k in range(8)]
        header = "level,case_id,patient_id,image_id,label,p_x,p_y"
        (tmp_path / run / "predictions.csv").write_text("\n".join([header, *rows, ""]))
    command = [sys.executable, "-c", LOOK.format(module=module), *arguments]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.stderr.splitlines()[-1] == f"{code} []", done.stderr
