"""Runs of versions that took ids, blanks and columns literally: refused, with the way back."""

import json

from micle_tf import cli
from tests.data.test_earlier import TRAIN, blanks, patients, rewrite
from tests.generated_cases import write_cases


def test_an_unfinished_run_goes_on_with_the_flags(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_cases(tmp_path / "photos", num_cases=36)
    rewrite(lambda row: (patients(row), blanks(row)))
    before = ["--ids=literal", "--missing="]
    # As the version before would have begun it.
    assert cli.main([*TRAIN, *before, "--train_steps=1"]) == 0
    config = json.loads((tmp_path / "run/config.json").read_text())
    for name in ("ids", "missing", "allow_seen"):
        del config[name]
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    (tmp_path / "run/result.json").unlink()
    capsys.readouterr()

    assert cli.main([*TRAIN, "--train_steps=1"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(
        f"error: --model_dir=run: holds a run on {config['data']}, and the data is "
    )
    flags = "--ids=literal --missing="
    assert (
        f"with {flags} the files are read as that run read them; or choose another directory"
        in error
    )
    assert error.count("\n") == 1
    assert cli.main([*TRAIN, *before, "--train_steps=1"]) == 0
    assert "resumed at step 1" in capsys.readouterr().out
    assert cli.main([*TRAIN, *before, "--train_steps=1"]) == 0
    assert "finished before: run" in capsys.readouterr().out


def test_evaluation_and_export(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_cases(tmp_path / "photos", num_cases=36)
    rewrite(patients)
    few = ["--bootstrap_samples=10", "--best_metric=loss", "--train_steps=1"]
    tune = ["--mode=finetune", *TRAIN[1:], *few, "--train_batch_size=4"]
    assert cli.main([*tune, "--ids=literal"]) == 0
    config = json.loads((tmp_path / "run/config.json").read_text())
    del config["ids"]
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    for command in ("evaluate", "export"):
        capsys.readouterr()
        flags = [f"--mode={command}", "--checkpoint=run"]
        assert cli.main(flags) == 2
        error = capsys.readouterr().err
        assert f"--checkpoint=run: was trained on {config['data']}" in error
        assert "with --ids=literal the files are read" in error and error.count("\n") == 1
    assert cli.main(["--mode=evaluate", "--checkpoint=run", "--ids=literal"]) == 0
    predictions = (tmp_path / "run/evaluate/predictions.csv").read_text()
    assert predictions == (tmp_path / "run/predictions.csv").read_text()
