"""The wheel: which files it has, and that it runs by itself, away from the checkout."""

import ast
import configparser
import importlib.metadata
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

import micle_tf
from tests.generated_cases import TINY, write_cases

ROOT = pathlib.Path(__file__).parents[2]
SOURCES = ("micle_tf", "data_builders", "flags", "tests", "benchmarks", "colab", "docs", ".ci")
FILES = ("setup.py", "setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "CHANGELOG.md",
         "CITATION.cff", "CONTRIBUTING.md", "SECURITY.md", "LICENSE", "Makefile", "run.py",
         "constraints.txt", "constraints-tpu.txt")  # fmt: skip


def build(kind, source, place):
    """Builds a wheel or sdist of a folder by its own files, without a network; returns its path."""
    code = f"import setuptools.build_meta as b, sys; print(b.build_{kind}(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(place)], cwd=source, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return place / done.stdout.splitlines()[-1]


def files_of(wheel):
    return sorted(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """The checkout without what is not in it, and with what an old build left."""
    place = tmp_path_factory.mktemp("export")
    for name in SOURCES:
        unwanted = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
        shutil.copytree(ROOT / name, place / name, ignore=unwanted)
    for name in FILES:
        shutil.copy(ROOT / name, place)
    for stale in ("micle_tf/stale.py", "data_builders/stale/__init__.py", "tests/__init__.py"):
        path = place / "build/lib" / stale
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("stale = True\n")
    return place


@pytest.fixture(scope="module")
def wheel(export, tmp_path_factory):
    return build("wheel", export, tmp_path_factory.mktemp("wheel"))


def test_what_is_in_the_wheel(wheel):
    modules = [
        path.relative_to(ROOT)
        for name in ("micle_tf", "data_builders")
        for path in (ROOT / name).rglob("*")
        if path.suffix in (".py", ".md", ".txt", ".bib", ".typed")
        and not path.name.endswith("_test.py")
        and not {"dummy_data", "__pycache__"} & set(path.parts)
    ]
    recipes = [
        pathlib.Path("micle_tf") / path.relative_to(ROOT)
        for path in (ROOT / "flags").rglob("*")
        if path.suffix in (".flags", ".toml", ".md")
    ]
    documents = [
        pathlib.Path("micle_tf") / path.relative_to(ROOT)
        for path in (ROOT / "README.md", *(ROOT / "docs").iterdir())
    ]
    about = f"micle_tf-{micle_tf.__version__}.dist-info/"
    files = files_of(wheel)
    assert sorted(map(str, (*modules, *recipes, *documents))) == [
        name for name in files if not name.startswith(about)
    ]
    assert len(recipes) > 40 and "micle_tf/py.typed" in files
    entry = zipfile.ZipFile(wheel).read(f"{about}entry_points.txt").decode()
    assert entry == "[console_scripts]\nmicle-tf = micle_tf.__main__:main\n"


def test_the_recipes_are_those_of_the_folder(wheel):
    archive = zipfile.ZipFile(wheel)
    for name in archive.namelist():
        if name.startswith("micle_tf/flags/"):
            assert archive.read(name) == (ROOT / name.removeprefix("micle_tf/")).read_bytes()


def test_the_sdist_makes_the_same_wheel(export, wheel, tmp_path):
    sdist = build("sdist", export, tmp_path)
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (source,) = (tmp_path / "unpacked").iterdir()
    again = build("wheel", source, tmp_path)
    assert files_of(again) == files_of(wheel)
    first, second = zipfile.ZipFile(wheel), zipfile.ZipFile(again)
    for name in files_of(wheel):
        if not name.endswith("/RECORD"):
            assert first.read(name) == second.read(name), name
    # And it can be tested.
    assert (source / "tests/scenarios/test_package.py").exists() and (source / ".ci/run").exists()
    assert (source / "data_builders/derm_cases/dummy_data").is_dir()


def imported(path):
    """Names of the packages that a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]


def test_what_is_imported_is_required(export):
    """By the project itself: what others happen to bring may go with their next version."""
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(export / "setup.cfg")
    wanted = setup["options"]["install_requires"] + "".join(
        setup["options.extras_require"][extra] for extra in ("beam", "dicom", "gcp")
    )
    required = {
        re.match(r"[\w.-]+", line.strip())[0] for line in wanted.split("\n") if line.strip()
    }
    files = [
        path for name in ("micle_tf", "data_builders") for path in (export / name).rglob("*.py")
    ]
    names = {name for path in files if "_test" not in path.stem for name in imported(path)}
    names -= {*sys.stdlib_module_names, "micle_tf", "data_builders"}
    distributions = importlib.metadata.packages_distributions()
    lacking = {
        name
        for name in names
        if not {d.lower().replace("_", "-") for d in distributions[name]}
        & {r.lower().replace("_", "-") for r in required}
    }
    assert lacking <= {"google"}  # google.protobuf, which TensorFlow is made with
    assert len(names) > 10


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """An environment with the wheel and the libraries of this one; the path of its programs."""
    place = tmp_path_factory.mktemp("installed")
    run = lambda *command: subprocess.run(command, check=True, capture_output=True)
    run(sys.executable, "-m", "venv", "--without-pip", place)
    python = place / "bin/python"
    purelib = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    libraries = pathlib.Path(pytest.__file__).parents[1]
    pathlib.Path(purelib, "libraries.pth").write_text(f"{libraries}\n")
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index",
        "--force-reinstall", wheel)  # fmt: skip
    return place / "bin"


@pytest.mark.slow
def test_it_runs_away_from_the_checkout(installed, tmp_path):
    environment = {"PATH": f"{installed}:{os.environ['PATH']}", "HOME": str(tmp_path)}

    def typed(*command):
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )

    where = typed("python", "-c", "import micle_tf; print(micle_tf.__file__)").stdout
    assert where.startswith(str(installed.parent))
    screen = typed("micle-tf")
    assert (screen.returncode, screen.stderr) == (0, "")
    assert "micle-tf --mode=pretrain --dataset=derm_cases" in screen.stdout
    documents = screen.stdout.split()[-1]
    assert pathlib.Path(documents).read_text() == (ROOT / "README.md").read_text()

    # The dataset's own recipe is found; the place for the run is refused before anything is made.
    own = typed("micle-tf", "--mode=pretrain", "--dataset=derm_cases", "--model_dir=a*b")
    assert own.stdout == "micle-tf: pretrain, recipe flags/derm_cases/synthetic/pretrain.flags\n"
    assert own.returncode == 2 and own.stderr.startswith("error: --model_dir=a*b: ")

    write_cases(tmp_path / "my photos")
    flags = ["--mode=pretrain", "--manifest=my photos/cases.csv", "--model_dir=my run", *TINY,
             "--flagfile=flags/derm_cases/synthetic/pretrain.flags", "--train_steps=2"]  # fmt: skip
    done = typed("micle-tf", *flags)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(own.stdout)
    assert "\nnext: micle-tf --mode=linear_eval '--checkpoint=my run'\n" in done.stdout
    again = typed("python", "-m", "micle_tf", *flags)
    assert (again.returncode, again.stderr) == (0, "")
    assert "finished before: my run\n" in again.stdout
    assert "next: python -m micle_tf --mode=linear_eval '--checkpoint=my run'" in again.stdout
