"""Where tests lie: a module's under its name, what spans modules in scenarios/, and what holds of
the checkout as a whole in house/."""

import ast
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]
TESTS = ROOT / "tests"


def modules():
    """The modules that something can go wrong in, as paths below the checkout.

    Those without any function, such as a list of errors, have nothing to test; packages and
    __main__.py only name what others do.
    """
    found = []
    for package in ("micle_tf", "data_builders"):
        for path in sorted((ROOT / package).rglob("*.py")):
            kinds = (ast.FunctionDef, ast.Lambda)
            does = any(isinstance(node, kinds) for node in ast.walk(ast.parse(path.read_text())))
            if does and not path.name.startswith("__") and not path.name.endswith("_test.py"):
                found.append(path.relative_to(ROOT))
    return found


def mirrored(module):
    """tests/training/test_loop.py of micle_tf/training/loop.py; data_builders keeps its name."""
    inside = module.relative_to("micle_tf") if module.parts[0] == "micle_tf" else module
    return TESTS / inside.with_name(f"test_{module.name}")


def own_tests(module):
    """The test file of a module's name: mirrored, or beside it, as tensorflow_datasets has those of
    builders."""
    beside = ROOT / module.with_name(f"{module.stem}_test.py")
    return [path for path in (mirrored(module), beside) if path.exists()]


def test_every_module_has_its_tests():
    found = modules()
    assert len(found) > 90
    missing = [str(module) for module in found if not own_tests(module)]
    assert not missing, f"without a test file of their name: {missing}"


def test_every_test_file_is_of_a_module_or_a_scenario():
    """Where a module has several, the others have more words behind its name."""
    known = {mirrored(module) for module in modules()}
    lost = [
        str(path.relative_to(ROOT))
        for path in TESTS.rglob("test_*.py")
        if path.parent not in (TESTS / "scenarios", TESTS / "house")
        if not any(path == one or path.match(f"{one.parent}/{one.stem}_*.py") for one in known)
    ]
    assert not lost, f"of no module; scenarios lie in tests/scenarios: {lost}"


def test_every_test_file_asserts_something():
    for path in TESTS.rglob("test_*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        tests = [node for node in nodes if isinstance(node, ast.FunctionDef)]
        assert any(node.name.startswith("test_") for node in tests), path
        assert any(isinstance(node, ast.Assert) for node in nodes), path


def excuses(text):
    """The comments of Python source that have a checker look away without saying why."""
    found = re.findall(r"#\s*(?:noqa|type: *ignore)[^\n]*", text)
    reason = r"#\s*(noqa: [A-Z0-9, ]+|type: *ignore(\[[\w, -]+\])?) +(- |# ?)\w.*"
    return [comment for comment in found if not re.fullmatch(reason, comment)]


def test_who_looks_away_says_why():
    assert excuses("x = 1  # noqa\ny = 2  # noqa: F401\nz = 3  # type: ignore[misc]\n") == [
        "# noqa", "# noqa: F401", "# type: ignore[misc]"
    ]  # fmt: skip
    assert not excuses(
        "x = 1  # noqa: F401 - for notebooks\ny = 2  # type: ignore[misc]  # Keras\n"
    )
    for folder in ("micle_tf", "data_builders", "tests", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.name != "test_layout.py":
                assert not excuses(path.read_text()), path
    assert "ignore_imports" not in (ROOT / "pyproject.toml").read_text()
