"""AUCs by sub-group, against the groups taken apart."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from micle_tf.evaluation.by_group import judge_groups, say_groups
from micle_tf.statistics.attributes import SEVERAL
from micle_tf.statistics.questions import Attribute
from tests.evaluation.test_judging import CLASSES, FINDINGS, rows_of

SEX, AGE, VIEW = Attribute("sex"), Attribute("age", (50.0,)), Attribute("view")


def test_the_auc_of_each_group_and_the_largest_gap(capsys):
    rows = rows_of(False, 0, cases=200)
    of_case = np.array(["f", "m"] * 100)
    texts = {SEX: np.repeat(of_case, 2)}
    found = judge_groups(rows, texts, CLASSES, False, samples=20, seed=0)["sex"]
    assert list(found) == ["case/auc/a", "case/auc/b", "case/auc/c"]
    label, score = rows["case"]["label"], rows["case"]["score"]
    for k, of_metric in enumerate(found.values()):
        values = {}
        for sex, group in of_metric["groups"].items():
            mask = (of_case == sex) & (label >= 0)
            values[sex] = roc_auc_score(label[mask] == k, score[mask, k])
            assert group["value"] == pytest.approx(values[sex], abs=1e-12)
            assert group["rows"] == mask.sum() and group["positives"] == (label[mask] == k).sum()
            low, high = group["interval"]
            assert low <= group["value"] <= high
        gap = of_metric["gap"]
        assert gap["value"] == pytest.approx(abs(values["f"] - values["m"]), abs=1e-12)
        assert values[gap["highest"]] > values[gap["lowest"]] and 0 < gap["p"] <= 1
    say_groups({"sex": found})
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_numbers_are_cut_and_few_are_only_counted(capsys):
    rows = rows_of(True, 0, cases=100)
    ages = np.array(["49.5", "50", ""] * 33 + ["", ""] * 50 + [""])[:200]
    ages[99:] = "30"
    found = judge_groups({"image": rows["image"]}, {AGE: ages}, FINDINGS, True, samples=10, seed=0)
    of_metric = found["age"]["findings/auc/Edema"]
    assert set(of_metric["groups"]) == {"<50", ">=50", "unknown"}
    few = of_metric["groups"][">=50"]
    assert "value" not in few and few["reason"].endswith("10 of each needed")
    assert of_metric["gap"] is None
    say_groups(found)
    said = "age: 2 metrics without two groups of 10 positives and negatives"
    assert said in capsys.readouterr().out


def test_a_case_whose_images_do_not_agree_is_of_several():
    rows = rows_of(False, 0)
    views = np.array(["front", "side"] * 60)
    views[:60] = "front"
    found = judge_groups(rows, {VIEW: views}, CLASSES, False, samples=10, seed=0)
    of_metric = found["view"]["case/auc/a"]
    assert set(of_metric["groups"]) == {"front", SEVERAL}
    assert of_metric["gap"] is None


def test_a_case_has_the_group_of_those_of_its_images_that_state_one():
    """Ages of one group agree, blanks and what is no number say nothing."""
    rows = rows_of(False, 0)
    ages = np.array(["", "61", "49", "50", "x", "", "30.5", " 12 "] * 15)
    found = judge_groups(rows, {AGE: ages}, CLASSES, False, samples=10, seed=0)
    groups = found["age"]["case/auc/a"]["groups"]
    known = rows["case"]["label"] >= 0
    expected = np.array([">=50", SEVERAL, "unknown", "<50"] * 15)
    assert {name: group["rows"] for name, group in groups.items()} == {
        name: ((expected == name) & known).sum() for name in expected.tolist()
    }


def test_nothing_labelled_nothing_compared():
    rows = rows_of(False, 0)
    for part in rows.values():
        part["label"] = np.full_like(part["label"], -1)
    assert (
        judge_groups(rows, {SEX: np.array(["f"] * 120)}, CLASSES, False, samples=10, seed=0) == {}
    )
