"""Findings that two sets call by different names, and those of which a split says too little."""

import csv
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from micle_tf import cli
from micle_tf.config import Config
from micle_tf.data import cases
from micle_tf.data.targets import Targets, column_of
from micle_tf.errors import BadInput
from tests.data_builders import trees_chexpert, trees_nih

SMALL = [
    "--image_size=16", "--resnet_depth=10", "--width_multiplier=0.125", "--train_batch_size=8",
    "--bootstrap_samples=10",
]  # fmt: skip


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """{name: CaseData} of a CheXpert and an NIH, as they are opened again after preparing."""
    folder = tmp_path_factory.mktemp("sets")
    trees_chexpert.write_tree(folder / "chexpert", patients=20, size=16)
    trees_nih.write_tree(folder / "nih_chest_xray14", patients=50, side=16)
    found = {}
    for name in ("chexpert", "nih_chest_xray14"):
        given = Config(dataset=name, manual_dir=str(folder / name), data_dir=str(folder / "data"))
        cases.open_cases(given)
        found[name] = cases.open_cases(given)
    return found


@pytest.mark.parametrize(
    "dataset, theirs, own",
    [
        ("nih_chest_xray14", "Pleural Effusion", "Effusion"),
        ("nih_chest_xray14", "pleural effusion", "Effusion"),
        ("nih_chest_xray14", "pulmonary edema", "Edema"),
        ("nih_chest_xray14", "pleural thickening", "Pleural_Thickening"),
        ("nih_chest_xray14", "cardiomegaly", "Cardiomegaly"),
        ("chexpert", "Effusion", "Pleural Effusion"),
        ("chexpert", "pleural effusion", "Pleural Effusion"),
        ("chexpert", "pulmonary edema", "Edema"),
        ("chexpert", "atelectasis", "Atelectasis"),
    ],
)
def test_one_finding_under_two_names(sets, dataset, theirs, own):
    data = sets[dataset]
    column = column_of(data, theirs)
    assert data.finding_names[column] == own and column == column_of(data, own)
    (chosen,) = Targets.of(data, findings=theirs).names
    assert chosen == theirs
    for split, index in data.index.items():
        labels = Targets((theirs,), True).labels(data, index)
        np.testing.assert_array_equal(labels, Targets((own,), True).labels(data, index))
        assert split != "train" or {0, 1} <= set(labels.ravel().tolist())


def test_what_one_set_has_alone(sets):
    nih, chexpert = sets["nih_chest_xray14"], sets["chexpert"]
    assert [column_of(nih, name) for name in ("Fracture", "Support Devices")] == [None] * 2
    assert [column_of(chexpert, name) for name in ("Hernia", "Infiltration")] == [None] * 2
    with pytest.raises(BadInput) as caught:
        Targets.of(nih, findings="Pleural Effusion,Fracture")
    assert str(caught.value) == (
        f"--findings=Pleural Effusion,Fracture: {nih.name} has no finding Fracture; it has "
        f"{', '.join(nih.finding_names)}"
    )
    # CheXpert's five are all in NIH: a classifier of them is judged on all.
    five = Targets.of(chexpert)
    assert all(column_of(nih, name) is not None for name in five.names) and len(five.names) == 5


def write_nih(folder):
    """An NIH in small: Effusion in every other patient, and Mass, which none of test has."""
    rng, rows, lists = np.random.default_rng(0), [], {"train_val": [], "test": []}
    (folder / "images").mkdir(parents=True)
    for patient in range(1, 41):
        present = ["Effusion"] * (patient % 2) + ["Mass"] * (patient % 3 == 0 and patient <= 30)
        has = np.isin(trees_nih.FINDINGS, present)
        name = f"{patient:08d}_000.png"
        pixels = trees_nih.picture(rng, has, rng.random(4), 16)
        (folder / "images" / name).write_bytes(tf.io.encode_png(pixels).numpy())
        rows.append(f"{name},{'|'.join(present) or 'No Finding'},0,{patient},40,F,PA,16,16,0.1,0.1")
        lists["test" if patient > 30 else "train_val"].append(name)
    table = "\n".join([trees_nih.HEADER, *rows])
    (folder / "Data_Entry_2017_v2020.csv").write_text(table + "\n")
    for split, listed in lists.items():
        (folder / f"{split}_list.txt").write_text("\n".join(listed) + "\n")


def test_a_finding_that_all_or_none_have_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_nih(pathlib.Path("nih"))
    note = (
        "note: undefined, the labels of the split being all alike: Mass; means are over the others"
    )
    command = [
        "--mode=linear_eval", "--dataset=nih_chest_xray14", "--manual_dir=nih", "--data_dir=data",
        "--findings=Pleural Effusion,Mass", "--model_dir=run",
    ]  # fmt: skip
    assert cli.main([*command, *SMALL]) == 0
    assert note in capsys.readouterr().out.splitlines()

    again = ["--mode=evaluate", "--checkpoint=run", SMALL[-1]]
    assert cli.main(again) == 0
    lines = capsys.readouterr().out.splitlines()
    assert note in lines
    (named,) = (line for line in lines if line.startswith("note: Pleural Effusion is "))
    assert named.startswith("note: Pleural Effusion is Effusion in nih_chest_xray14/default-")
    metrics = json.loads(pathlib.Path("run/evaluate/result.json").read_text())["metrics"]
    assert "findings/auc/Mass" not in metrics
    assert metrics["findings/auc_mean"] == metrics["findings/auc/Pleural Effusion"]
    with open("run/evaluate/predictions.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["label_Mass"] for row in rows} == {"0"}
    assert {row["label_Pleural Effusion"] for row in rows} == {"0", "1"}

    # In train it is defined, and nothing is said.
    assert cli.main([*again, "--eval_split=train"]) == 0
    assert "undefined" not in capsys.readouterr().out

    # Other findings than those of the classifier cannot be asked for; its own may be named.
    assert cli.main([*again, "--findings=Edema", "--model_dir=other"]) == 2
    assert capsys.readouterr().err == (
        "error: --findings=Edema: the classifier predicts Pleural Effusion, Mass; leave the flag "
        "out\n"
    )
    assert not pathlib.Path("other").exists()
    assert cli.main([*again, "--findings=Pleural Effusion, Mass", "--model_dir=same"]) == 0
    # Under another policy it is another run.
    assert cli.main([*again, "--uncertain=ones"]) == 0
    assert pathlib.Path("run/evaluate-uncertain_ones/result.json").exists()
