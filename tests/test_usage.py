"""What the program says of itself: first screen, help by mode, versions; and how it is called."""

import dataclasses
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

from micle_tf import cli, usage
from micle_tf.config import Config
from micle_tf.config.modes import MODES
from micle_tf.recipes import shown_path
from micle_tf.settings import GROUPS
from micle_tf.study.specification import DECIDED

ROOT = pathlib.Path(__file__).parents[1]
FIELDS = dataclasses.fields(Config)


@pytest.fixture(autouse=True)
def usual_width(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)


def shown(capsys, *argv):
    assert cli.main(list(argv)) == 0
    return capsys.readouterr().out


def flags_in(text):
    return re.findall(r"^  --(\w+)=", text, re.MULTILINE)


def test_alone_it_prints_one_screen(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = shown(capsys)
    lines = text.splitlines()
    assert len(lines) <= 24
    assert max(len(line) for line in lines[:-1]) <= 80  # the last one is a path
    for mode in MODES:
        assert mode in text
    assert pathlib.Path(lines[-1].split()[-1]).samefile(ROOT / "README.md")
    assert list(tmp_path.iterdir()) == []


def test_the_three_commands_of_the_screen_are_a_chain(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [line.strip() for line in shown(capsys).splitlines()]
    commands = [shlex.split(line) for line in lines if line.startswith("python run.py --mode=")]
    pretrain, finetune, export = (cli.configure(command[2:3] + command[3:])[0].mode if i == 0
                                  else command for i, command in enumerate(commands))  # fmt: skip
    assert pretrain == "pretrain"
    config, origin = cli.configure(commands[0][2:])
    assert origin == f"recipe {shown_path(cli.RECIPES / 'derm_cases/synthetic/pretrain.flags')}"
    for run, mode, command in (
        (config.model_dir, "finetune", finetune),
        (f"{config.model_dir}/finetune", "export", export),
    ):
        (tmp_path / run).mkdir(parents=True)
        (tmp_path / run / "config.json").write_text(config.to_json())
        following, _ = cli.configure(command[2:])
        assert (following.mode, following.checkpoint) == (mode, run)


@pytest.mark.parametrize("mode", MODES)
def test_help_of_a_mode(mode, capsys):
    text = shown(capsys, f"--mode={mode}", "--help")
    takes = [f.name for f in FIELDS if not f.metadata["only"] or mode in f.metadata["only"]]
    others = [] if mode == "study" else ["flagfile", "train_mode"]
    assert sorted(flags_in(text)) == sorted([*(set(takes) - {"mode"}), *others])
    own = Config.of_mode(mode)
    for name in set(takes) - {"mode"}:
        value = getattr(own, name)
        value = str(value).lower() if isinstance(value, bool) else value
        assert re.search(rf"^  --{name}={re.escape(str(value))}( \[|$)", text, re.MULTILINE), name
    groups = [line for line in text.splitlines() if line in GROUPS]
    assert groups == [group for group in GROUPS if group in groups] and "data" in groups
    assert max(map(len, text.splitlines())) <= 80


def test_help_of_a_study_has_nothing_that_studies_refuse(capsys):
    text, of_a_run = (shown(capsys, f"--mode={mode}", "--help") for mode in ("study", "finetune"))
    assert "flagfile" not in text
    listed = set(flags_in(text))
    for flag in {"flagfile", "train_mode", "checkpoint", "seed", "label_fraction"}:
        assert flag not in listed and flag in flags_in(of_a_run)
        value = {"train_mode": "finetune"}.get(flag, "1")
        assert cli.main(["--mode=study", "--study=demo", f"--{flag}={value}"]) == 2
        assert f"--{flag}" in capsys.readouterr().err
    assert not listed & set(DECIDED) - {"dry_run", "model_dir", "study"}


def test_help_shows_the_common_flags_and_helpfull_all(capsys):
    common, full = shown(capsys, "--help"), shown(capsys, "--helpfull")
    others = ["flagfile", "train_mode"]
    assert sorted(flags_in(full)) == sorted([*(f.name for f in FIELDS), *others])
    expected = [f.name for f in FIELDS if f.metadata["common"]]
    assert sorted(flags_in(common)) == sorted([*expected, *others]) and 15 < len(expected) < 30
    assert "  --train_batch_size=128 (finetune: 64)\n" in full
    assert "  --precision=float32 [float32, mixed_bfloat16, float64]\n" in full
    for text in (common, full):
        assert max(map(len, text.splitlines())) <= 80


def test_help_for_a_mode_that_is_none(capsys):
    for typed in (["--help", "--mode=finetun"], ["--mode", "finetun", "--help"]):
        assert cli.main(typed) == 2
        assert capsys.readouterr().err.endswith("; did you mean finetune?\n")
    assert cli.main(["--version", "--bogus"]) == 2
    assert capsys.readouterr().err == "error: --bogus: no such flag\n"
    assert shown(capsys, "--mode", "export", "-help") == shown(capsys, "--mode=export", "--help")


def test_width_follows_a_narrow_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, shown(capsys, "--helpfull").splitlines())) <= 60


@pytest.mark.slow
def test_help_into_a_closed_pipe(tmp_path):
    """A pipe whose reader is gone before anything is written."""
    script = f"{shlex.quote(sys.executable)} {shlex.quote(str(ROOT / 'run.py'))}"
    for flags in ("--helpfull", "--help", ""):
        command = f"( sleep 0.5; {script} {flags}; echo ended $? >&2 ) | true"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path)
        assert done.stderr == "ended 0\n"


def test_a_run_into_a_closed_pipe_ends_with_one_line(tmp_path):
    script = f"{shlex.quote(sys.executable)} {shlex.quote(str(ROOT / 'run.py'))}"
    # Its first line is a note.
    run = f"{script} --mode=export --temperature=0.5"
    command = f"( sleep 0.5; {run}; echo ended $? >&2 ) | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path)
    lines = done.stderr.splitlines()
    assert lines == ["stopped: the output goes into a closed pipe", "ended 1"]


def test_help_loads_no_tensorflow():
    """Which takes seconds, where help takes a tenth of one."""
    code = (
        "import sys; from micle_tf import cli; code = cli.main(['--help']);"
        "sys.exit('tensorflow' in sys.modules or code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_fcntl_help_works_and_a_run_names_what_is_missing(tmp_path):
    code = (
        "import sys; sys.modules['fcntl'] = sys.modules['resource'] = None\n"
        "import micle_tf; from micle_tf import cli\n"
        "assert cli.main(['--help']) == 0 and cli.main([]) == 0\n"
        "sys.exit(cli.run(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--mode=pretrain", "--dataset=derm_cases"],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == (
        "error: --mode=pretrain: this system has no fcntl (locks of files); runs want Linux, macOS "
        "or Windows' subsystem for Linux\n"
    )


def test_every_field_has_a_group():
    assert {field.metadata["group"] for field in FIELDS} == set(GROUPS)
    assert usage.full().count("\n  --") == len(FIELDS) + 3
