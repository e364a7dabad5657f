"""cohort.csv: counts by hand, what is listed of attributes, and who else judged a split."""

import csv
import dataclasses
import io
import json

import numpy as np
import pytest

from micle_tf.config import Config
from micle_tf.data.attributes import Attributes
from micle_tf.data.reader import CaseReader
from micle_tf.data.supervised import LabelledSplit
from micle_tf.data.targets import Targets
from micle_tf.evaluation.cohort import HEADER, cohort_csv, judged_before
from tests.data.test_targets import make_index


def counted(splits, targets, **options):
    """{(split, item, value): [patients, cases, images, share]}."""
    header, *rows = csv.reader(io.StringIO(cohort_csv(splits, targets, **options)))
    assert tuple(header) == HEADER
    return {tuple(row[:3]): row[3:] for row in rows}


def split_of(index, labels, name="test", used=()):
    reader = CaseReader(None, index)
    return LabelledSplit(name, reader, np.asarray(labels), np.array(used, np.int64))


def with_attributes(index, stated):
    attributes = Attributes.of_cases(stated, [""] * index.num_images, index.images_per_case)
    return dataclasses.replace(index, attributes=attributes)


def test_classes_by_hand():
    index = make_index([2, 1, 3])
    index = dataclasses.replace(index, patient_id=np.array(["p0", "p0", "p2"]))
    index = with_attributes(index, [{"sex": "female"}, {"sex": "male"}, {"sex": ["", "male", ""]}])
    labels = np.array([1, 1, 0, -1, -1, 0])
    found = counted([split_of(index, labels, used=[0, 2])], Targets(("oval", "ring"), False))
    assert found == {
        ("test", "all", ""): ["2", "3", "6", "1.000000"],
        ("test", "labelled", ""): ["2", "3", "4", "0.666667"],
        ("test", "used", ""): ["1", "2", "2", "0.333333"],
        ("test", "unlabelled", ""): ["1", "1", "2", "0.333333"],
        ("test", "class", "oval"): ["2", "2", "2", "0.500000"],
        ("test", "class", "ring"): ["1", "1", "2", "0.500000"],
        ("test", "attribute:sex", "female"): ["1", "1", "2", "0.333333"],
        ("test", "attribute:sex", "male"): ["2", "2", "2", "0.333333"],
        ("test", "attribute:sex", "not stated"): ["1", "1", "2", "0.333333"],
    }


def test_findings_by_hand_without_patients():
    index = dataclasses.replace(make_index([1] * 4), patient_id=np.array([""] * 4))
    labels = np.array([[1, 0], [0, -1], [0, 1], [-2, -2]])
    found = counted([split_of(index, labels, used=[0, 2])], Targets(("Edema", "Fracture"), True))
    assert found[("test", "labelled", "")] == ["", "3", "3", "0.750000"]
    states = ("present", "absent", "uncertain", "not mentioned")
    images = {name: [found[("test", f"finding:{name}", s)][2] for s in states]
              for name in ("Edema", "Fracture")}  # fmt: skip
    assert images == {"Edema": ["1", "2", "0", "0"], "Fracture": ["1", "1", "1", "0"]}
    assert found[("test", "finding:Edema", "present")] == ["", "1", "1", "0.333333"]


def test_many_numbers_are_counted_by_tens_and_many_texts_by_the_most_frequent():
    ages = [*range(20, 40), -3, 0, 101]
    sites = [f"site {n}" for n in range(40) for _ in range(40 - n)]
    num = len(sites)
    stated = [{"age": str(ages[k]) if k < len(ages) else "", "site": sites[k]} for k in range(num)]
    index = with_attributes(make_index([1] * num), stated)
    found = counted([split_of(index, [0] * num, "train")], Targets(("a", "b"), False))
    ages_found = {value: row[2] for (_, item, value), row in found.items() if item[-3:] == "age"}
    expected = {"-10 to 0": "1", "0 to 10": "1", "20 to 30": "10", "30 to 40": "10"}
    assert ages_found == expected | {"100 to 110": "1", "not stated": str(num - 23)}
    of_sites = {value: int(row[2]) for (_, item, value), row in found.items() if "site" in item}
    assert list(of_sites)[:2] == ["site 0", "site 1"] and len(of_sites) == 31
    assert of_sites["others"] == sum(range(1, 11))


def test_what_was_left_out_and_who_else_judged():
    index = make_index([1])
    left_out = ["cases.csv row 3: p9/a.jpg: is damaged", "row 4: b.jpg: is damaged", "c: is empty"]
    found = counted(
        [split_of(index, [0])], Targets(("a",), False), left_out=left_out,
        others={"test": 4},
    )  # fmt: skip
    assert found[("all", "left out", "is damaged")] == ["", "", "2", ""]
    assert found[("all", "left out", "is empty")] == ["", "", "1", ""]
    assert found[("test", "judged by other runs", "4")] == [""] * 4
    text = cohort_csv([split_of(index, [0])], Targets(("a",), False), left_out)
    assert "p9" not in text and "a.jpg" not in text  # names of files can be names of patients


@pytest.fixture
def chain(tmp_path):
    """simclr / micle / {tuned, linear, other}: directories as runs leave them."""

    def run(path, mode, checkpoint="", data="set-1", split="test", finished=True):
        (tmp_path / path).mkdir(parents=True)
        config = Config(mode=mode, checkpoint=checkpoint, eval_split=split)
        facts = json.loads(config.to_json()) | {"data": data}
        (tmp_path / path / "config.json").write_text(json.dumps(facts))
        if finished:
            (tmp_path / path / "result.json").write_text("{}")
        return str(tmp_path / path)

    simclr = run("simclr", "pretrain")
    micle = run("simclr/micle", "pretrain", simclr)
    tuned = run("simclr/micle/tuned", "finetune", micle)
    run("simclr/linear", "linear_eval", simclr)
    run("simclr/micle/tuned/evaluate", "evaluate", tuned, split="validation")
    run("simclr/micle/tuned/elsewhere", "evaluate", tuned, data="set-2")
    run("simclr/micle/unfinished", "finetune", micle, finished=False)
    (tmp_path / "simclr/broken").mkdir()
    (tmp_path / "simclr/broken/result.json").write_text("{}")
    return micle, tuned


def test_other_runs_of_the_chain_that_judged_the_split(chain):
    micle, tuned = chain
    assert judged_before(tuned, micle, "set-1", "test") == 1  # the linear evaluation
    assert judged_before(f"{tuned}/again", tuned, "set-1", "test") == 2
    assert judged_before(f"{tuned}/again", tuned, "set-1", "validation") == 1
    assert judged_before(f"{tuned}/again", tuned, "set-2", "test") == 1


def test_a_run_without_a_chain_is_alone(chain, tmp_path):
    assert judged_before(str(tmp_path / "new"), "", "set-1", "test") == 0
    assert judged_before(str(tmp_path / "new"), "weights/elsewhere", "set-1", "test") == 0
