"""`make mutants`: that it finds what tests miss, and that its list of survivors is of this code."""

import pathlib
import subprocess
import sys

import pytest

from tests import mutants

ROOT = pathlib.Path(__file__).parents[2]
SOURCE = '''"""Counts 1 or 2."""


def larger(a: int | None, b: int = 1, *, more: bool = True) -> int | None:
    """Not 3 > 2."""
    if more:
        return b - 2  # of 5
'''


def test_what_is_mutated():
    pytest.importorskip("cosmic_ray")
    found = [(m.line, m.operator, m.after) for m in mutants.mutants_of(SOURCE)]
    head = "def larger(a: int | None, b: int = {}, *, more: bool = {}) -> int | None:"
    assert found == [
        (7, "ReplaceBinaryOperator_Sub_Add", "return b + 2  # of 5"),
        (4, "ReplaceTrueWithFalse", head.format(1, False)),
        (6, "AddNot", "if not more:"),
        (4, "NumberReplacer", head.format(2, True)),
        (4, "NumberReplacer", head.format(0, True)),
        (7, "NumberReplacer", "return b - 3  # of 5"),
        (7, "NumberReplacer", "return b - 1  # of 5"),
        (7, "ReturnNone", "return None  # of 5"),
    ]


def test_what_is_listed_is_a_mutant_of_this_code():
    """As far as the line before the change goes; the rest is for `make mutants` to say."""
    flat = lambda text: " ".join(text.split())
    found = mutants.listed()
    assert sum(map(len, found.values())) > 10
    for module, lines in found.items():
        source = flat((ROOT / module).read_text(encoding="utf-8"))
        for before, after in lines:
            assert flat(before) in source and after != before, before
    assert found.keys() <= mutants.MODULES.keys()
    for module, arguments in mutants.MODULES.items():
        assert (ROOT / module).exists()
        for test in arguments:
            path, _, name = test.removeprefix("--deselect=").partition("::")
            assert f"def {name}" in (ROOT / path).read_text(encoding="utf-8")


# Without cosmic-ray: mutants by hand, in a process that has not computed anything.
RUN = """
import pathlib, sys
from tests import mutants
here = pathlib.Path.cwd()
mutants.ROOT, mutants.CACHE, mutants.LISTED = here, here / "cache", here / "listed.txt"
mutants.HEAVY, mutants.MODULES = ("pytest",), {"toy.py": ["test_toy.py"]}
mutants.PATIENCE = 1
changes = [("a > b", text) for text in ("a >= b", "a < b", "not a > b", "larger(a, b)")]
changes += [("return", text) for text in ("while True:", "import os; os.abort(); return")]
mutants.mutants_of = lambda source: [
    mutants.Mutant("By hand", 2, *change, source.replace(*change)) for change in changes
]
sys.exit(mutants.main(sys.argv[1:]))
"""
TOY = "def larger(a, b):\n    return a > b\n"
TEST = """
from toy import larger

def test_larger():
    with open("runs.txt", "a") as file:
        file.write("run\\n")
    assert larger(3, 2) and not larger(2, 3)
"""
EQUAL = "@ toy.py\n- a > b\n+ a >= b\n"


@pytest.mark.slow
def test_survivors_are_named_once_and_may_be_listed(tmp_path):
    (tmp_path / "toy.py").write_text(TOY)
    (tmp_path / "test_toy.py").write_text(TEST)
    runs = tmp_path / "runs.txt"

    def run(listed, *arguments):
        (tmp_path / "listed.txt").write_text(listed)
        runs.write_text("")
        done = subprocess.run(
            [sys.executable, "-c", RUN, *arguments],
            cwd=tmp_path, env={"PYTHONPATH": f"{ROOT}:{tmp_path}"}, capture_output=True, text=True,
        )  # fmt: skip
        return done.returncode, done.stdout.splitlines(), len(runs.read_text().splitlines())

    code, lines, tested = run("", "--jobs=2")
    assert (code, tested) == (1, 7)  # without a change, and with each
    assert lines[-7:-4] == ["toy.py:2: By hand: not noticed", "- a > b", "+ a >= b"]
    assert lines[-1] == "| `all` | 6 | 5 | 0 | 83.3 % |"
    code, lines, tested = run(f"{EQUAL}= Nobody asks for equal ones.\n")
    assert (code, tested, lines[-1]) == (0, 0, "| `all` | 6 | 5 | 1 | 100.0 % |")
    assert lines[0] == ""
    code, lines, tested = run(f"{EQUAL}~ Nobody asks for equal ones.\n")
    assert (code, tested, lines[-1]) == (1, 0, "| `all` | 6 | 5 | 0 | 83.3 % |")
    assert lines[0] == ""
    gone = EQUAL.replace("a >= b", "a < b")
    code, lines, tested = run(f"{EQUAL}= Nobody asks for equal ones.\n{gone}= Never.\n")
    assert code == 1 and lines[0] == "toy.py: listed in listed.txt, and is noticed or gone"
    assert lines[1:3] == ["- a > b", "+ a < b"]
    assert run(EQUAL)[0] == 1  # no reason
