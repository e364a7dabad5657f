"""How this program was called, so that the commands that it prints can be typed as they stand."""

import os
import pathlib
import shlex
import shutil
import sys

_FOLDER = pathlib.Path(__file__).resolve().parent


def typed(*arguments):
    """A command line of ours, fit to be pasted into a shell; paths with blanks are quoted."""
    return shlex.join([*called(), *arguments])


def called():
    """The words before the flags: ["python", "run.py"] in a checkout, ["micle-tf"] installed.

    What the user typed counts, by whatever path; from Python, what is there.
    """
    path = sys.argv[0] if sys.argv else ""
    name, checkout = os.path.basename(path), _FOLDER.parent / "run.py"
    if name == "run.py" and _is_same(path, checkout):
        return [_python(), path]
    if name == "__main__.py" and _is_same(path, _FOLDER / name):
        return [_python(), "-m", "micle_tf"]
    if name == "micle-tf":
        on_path = shutil.which(name)
        return [name if on_path and _is_same(on_path, path) else path]
    if not checkout.exists():
        return ["micle-tf"]
    return [_python() if _is_same(path, _FOLDER / "demo.py") else "python", "run.py"]


def _python():
    """The interpreter as it was typed: python3, .venv/bin/python; "python" for an absolute path."""
    typed = sys.orig_argv[0] if sys.orig_argv else ""
    return typed if typed and not os.path.isabs(typed) else "python"


def recipes():
    """The folder of the recipes: in a wheel beside this module, else at the top of the checkout."""
    inside = _FOLDER / "flags"
    return inside if inside.is_dir() else _FOLDER.parent / "flags"


def documents():
    """The path of README: in a wheel beside this module, else at the top of the checkout."""
    inside = _FOLDER / "README.md"
    return inside if inside.exists() else _FOLDER.parent / "README.md"


def _is_same(path, other):
    try:
        return os.path.samefile(path, other)
    except OSError:
        return False
