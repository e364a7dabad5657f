"""The demo, made small: its files, its figures, and that a second one replaces the first."""

import json

import numpy as np
import pytest
import tensorflow as tf
from sklearn import manifold
from sklearn.decomposition import PCA

from data_builders.derm_cases import synthetic
from micle_tf import demo, exits

PATIENTS = {"train": 90, "validation": 25, "test": 40}


@pytest.fixture(scope="module")
def small_data(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "PATIENTS_PER_SPLIT", PATIENTS)
        yield tmp_path_factory.mktemp("data")


@pytest.mark.slow
@pytest.mark.parametrize("control", ["none", "shuffled"])
def test_demo_leaves_table_picture_and_result(small_data, tmp_path, capsys, monkeypatch, control):
    if control != "none":  # one t-SNE is enough
        monkeypatch.setattr(manifold, "TSNE", lambda **_: PCA(2))
    place = tmp_path / "demo"
    place.mkdir()
    (place / "DEMO.txt").write_text("mark")
    (place / "old.txt").write_text("of an earlier demo")
    arguments = ["--steps=2", f"--control={control}", f"--model_dir={place}"]
    assert demo.main([*arguments, f"--data_dir={small_data}", "--seed=3"]) == exits.DONE
    assert not (place / "old.txt").exists()
    result = json.loads((place / "result.json").read_text())
    assert result["mode"] == "demo" and result["steps"] == 4
    assert result["dataset"] == demo.PRETRAINING_DATA[control]
    shown = capsys.readouterr().out
    for arm in demo.ARMS:
        own = json.loads((place / f"{arm}-linear_eval/result.json").read_text())
        value = result["metrics"][f"{arm}/case/top1"]
        low, high = result["intervals"][f"{arm}/case/top1"]
        assert value == own["metrics"]["case/top1"] and low <= value <= high
        assert own["dataset"] == "derm_cases/synthetic"
        assert f"{value:.3f} [{low:.3f}, {high:.3f}]" in shown
    halves = json.loads((place / "micle/config.json").read_text())
    assert halves["checkpoint"] == str(place / "simclr-half") and halves["train_steps"] == 2
    assert json.loads((place / "simclr/config.json").read_text())["train_steps"] == 4
    assert tf.io.decode_png((place / "demo.png").read_bytes()).numpy().std() > 10


@pytest.mark.parametrize("argument", ["--control=none_such", "--seed=-1", "--steps=0", "--sede=1"])
def test_bad_arguments_end_with_2_and_touch_nothing(tmp_path, capsys, argument):
    (tmp_path / "thesis.txt").write_text("mine")
    assert demo.main([argument, f"--model_dir={tmp_path}"]) == exits.BAD_INPUT
    assert capsys.readouterr().err.count("\n") == 1
    assert (tmp_path / "thesis.txt").exists()


def test_what_is_no_demo_is_not_replaced(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("mine")
    assert demo.main([f"--model_dir={tmp_path}"]) == exits.BAD_INPUT
    assert capsys.readouterr().err == f"error: --model_dir={tmp_path}: is there, and is no demo\n"
    assert (tmp_path / "thesis.txt").exists()


def test_a_path_may_begin_at_home(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "thesis.txt").write_text("mine")
    assert demo.main(["--model_dir=~"]) == exits.BAD_INPUT
    assert capsys.readouterr().err == f"error: --model_dir={tmp_path}: is there, and is no demo\n"


def test_controls_change_only_the_pretraining_cases():
    plain = synthetic.synthetic_cases(patients_per_split=PATIENTS)
    shuffled = synthetic.synthetic_cases(patients_per_split=PATIENTS, shuffle_case_ids=True)
    ids = lambda cases: [[image.image_id for image in case.images] for case in cases]
    assert ids(plain["test"]) == ids(shuffled["test"])
    together = [
        len({i.split("_")[0] for i in case}) for case in ids(shuffled["train"]) if len(case) > 1
    ]
    assert np.mean(np.array(together) > 1) > 0.95
