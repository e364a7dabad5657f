"""How the program was called, and where its recipes lie."""

import pathlib
import shlex
import sys

import pytest

from micle_tf import program

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.parametrize(
    "path, words",
    [
        (ROOT / "run.py", ["python", str(ROOT / "run.py")]),
        (ROOT / "micle_tf/__main__.py", ["python", "-m", "micle_tf"]),
        ("elsewhere/run.py", ["python", "run.py"]),
        ("/usr/bin/pytest", ["python", "run.py"]),
        ("/nowhere/bin/micle-tf", ["/nowhere/bin/micle-tf"]),
    ],
)
def test_it_is_called_as_it_was_called(path, words, monkeypatch):
    monkeypatch.setattr(sys, "argv", [str(path)])
    monkeypatch.setattr(sys, "orig_argv", ["python"])
    assert program.called() == words
    assert program.typed("--model_dir=my run") == shlex.join([*words, "--model_dir=my run"])


@pytest.mark.parametrize(
    "typed, word",
    [
        ("python3", "python3"),
        (".venv/bin/python", ".venv/bin/python"),
        ("/opt/bin/python", "python"),
    ],
)
def test_the_interpreter_is_the_one_that_was_typed(typed, word, monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", [typed, "run.py"])
    for path in ("run.py", "micle_tf/demo.py"):
        monkeypatch.setattr(sys, "argv", [str(ROOT / path)])
        assert program.called()[0] == word


def test_on_the_path_it_goes_by_its_name(tmp_path, monkeypatch):
    command = tmp_path / "micle-tf"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [str(command)])
    assert program.called() == ["micle-tf"]
