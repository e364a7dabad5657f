"""What is compared, as it is read: one order of rows, seeds in theirs, cases made alike."""

import numpy as np
import pytest

from micle_tf.config import Config
from micle_tf.errors import BadInput
from micle_tf.evaluation.variants import read_variants

HEADER = "level,case_id,patient_id,image_id,label,p_x,p_y\n"
ROWS = [
    "image,c1,p1,i1,x,0.75,0.25\n",
    "image,c1,p1,i2,x,0.5,0.5\n",
    "image,c2,p2,i3,y,0.25,0.75\n",
    "case,c1,p1,,x,0.625,0.375\n",
    "case,c2,p2,,y,0.25,0.75\n",
]


def write(folder, rows=ROWS):
    folder.mkdir()
    (folder / "predictions.csv").write_text(HEADER + "".join(rows))
    return str(folder)


def test_rows_are_in_the_order_of_the_first(tmp_path):
    a, b = write(tmp_path / "a"), write(tmp_path / "b", ROWS[::-1])
    found = read_variants([a, b])
    assert found.names == ("x", "y") and not found.multilabel
    assert [variant.name for variant in found.all] == [a, b]
    for variant in found.all:
        (rows,) = variant.seeds
        assert rows["image"]["ids"][:, 3].tolist() == ["i1", "i2", "i3"]
        np.testing.assert_array_equal(rows["image"]["score"][:, 0], [0.75, 0.5, 0.25])


def test_seeds_keep_their_order_and_a_comma_may_be_in_a_name(tmp_path):
    a, b, c, d, odd = (write(tmp_path / name) for name in ("a", "b", "c", "d", "x,y"))
    first, second = read_variants([f"{b},{a}", f"{c},{d}"]).all
    assert first.name == f"{b},{a}" and len(first.seeds) == len(second.seeds) == 2
    assert [len(one.seeds) for one in read_variants([a, odd]).all] == [1, 1]


def test_of_somebody_elses_table_cases_are_means_and_so_are_the_runs(tmp_path):
    wrong = [*ROWS[:3], "case,c1,p1,,x,0.9,0.1\n", ROWS[4]]  # not the mean
    a, theirs = write(tmp_path / "a", wrong), tmp_path / "theirs.csv"
    theirs.write_text("image_id,y,x\ni3,0.75,0.25\ni1,0.0,1.0\ni2,0.5,0.5\n")
    (of_a,), (others,) = (variant.seeds for variant in read_variants([a, str(theirs)]).all)
    np.testing.assert_array_equal(of_a["case"]["score"], [[0.625, 0.375], [0.25, 0.75]])
    np.testing.assert_array_equal(others["case"]["score"], [[0.75, 0.25], [0.25, 0.75]])
    again = write(tmp_path / "again", wrong)
    (alone,), _ = (variant.seeds for variant in read_variants([a, again]).all)
    assert alone["case"]["score"][0, 0] == 0.9


def test_images_of_one_id_in_two_cases_want_a_case(tmp_path):
    rows = [row.replace("i3", "i1") for row in ROWS]
    a, theirs = write(tmp_path / "a", rows), tmp_path / "theirs.csv"
    theirs.write_text("image_id,x,y\ni1,1,0\ni2,1,0\n")
    with pytest.raises(BadInput, match="has no column case_id; case_id, image_id and a prob"):
        read_variants([a, str(theirs)])
    theirs.write_text("case_id,image_id,x,y\nc2,i1,0,1\nc1,i1,1,0\nc1,i2,1,0\n")
    _, (others,) = (variant.seeds for variant in read_variants([a, str(theirs)]).all)
    assert others["image"]["score"][:, 0].tolist() == [1, 1, 0]


def test_a_run_is_one_seed_however_it_is_spelled(tmp_path):
    a, b, c = (write(tmp_path / name) for name in "abc")
    (tmp_path / "link").symlink_to(a)
    for twice in (f"{a}/", f"{tmp_path}/b/../a", str(tmp_path / "link")):
        with pytest.raises(BadInput, match="the same run twice is no second seed"):
            read_variants([f"{a},{twice}", f"{b},{c}"])


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"seed": 1}, ""),
        ({"seed": 1, "checkpoint": "x", "data_dir": "y", "log_every": 7}, ""),
        ({}, "note: {b} has the seed of {a}, 0"),
        (
            {"seed": 1, "label_fraction": 0.1, "image_size": 32},
            "note: {b} differs from {a} in more than its seed: image_size, label_fraction",
        ),
        ({"mode": "finetune"}, "note: {b} differs from {a} in more than its seed: mode"),
    ],
)
def test_seeds_that_are_none_are_noted(tmp_path, capsys, changes, said):
    runs = [write(tmp_path / name) for name in "abcd"]
    for k, run in enumerate(runs):
        config = Config(mode="linear_eval", model_dir=run, seed=k // 2)
        config = config.replace(**changes) if k == 1 else config
        (tmp_path / run / "config.json").write_text(config.to_json())
    a, b, c, d = runs
    (tmp_path / d / "config.json").unlink()  # and of predictions alone nothing is said
    read_variants([f"{a},{b}", f"{c},{d}"])
    assert capsys.readouterr().out.strip() == said.format(a=a, b=b)


def test_the_seed_of_evaluate_is_another_one(tmp_path, capsys):
    runs = [write(tmp_path / name) for name in "abcd"]
    for run in runs:
        (tmp_path / run / "config.json").write_text(Config(mode="evaluate").to_json())
    read_variants([",".join(runs[:2]), ",".join(runs[2:])])
    assert capsys.readouterr().out == ""
