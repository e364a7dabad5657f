"""The flags with which files are read as versions read them that took ids and blanks literally."""

import csv

import pytest

from micle_tf import cli
from micle_tf.data import cases
from micle_tf.data.earlier import flags_of_before
from tests.generated_cases import TINY, write_cases

TRAIN = [
    "--mode=pretrain",
    "--manifest=photos/cases.csv",
    "--data_dir=data",
    *TINY,
    "--model_dir=run",
]
HEADER = ["case_id", "patient_id", "image", "Label", "view"]


def rewrite(change, header=None):
    with open("photos/cases.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        change(row)
    with open("photos/cases.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writerow(dict(zip(rows[0], header or rows[0], strict=True)))
        writer.writerows(rows)


def patients(row):
    row["patient_id"] = (
        row["patient_id"].replace("p3", "P2").upper()
        if row["case_id"] == "c4"
        else (row["patient_id"])
    )


def blanks(row):
    row["view"] = row["view"].replace("front", "nan")


@pytest.mark.parametrize(
    "change, header, flags",
    [
        (patients, None, "--ids=literal"),
        (blanks, None, "--missing="),
        (lambda row: None, HEADER, "--columns=label="),
        (
            lambda row: (patients(row), blanks(row)),
            HEADER,
            "--ids=literal --missing= --columns=label=",
        ),
        (lambda row: None, None, ""),
    ],
    ids=["ids", "missing", "columns", "all", "nothing"],
)
def test_the_flags_that_give_the_same_data(tmp_path, monkeypatch, change, header, flags):
    monkeypatch.chdir(tmp_path)
    write_cases(tmp_path / "photos", num_cases=36)
    rewrite(change, header)
    config, _ = cli.configure([*TRAIN, *flags.split()])
    there = cases.open_cases(config).name
    config, _ = cli.configure(TRAIN)
    assert (cases.open_cases(config).name == there) == (not flags)
    if flags:
        assert flags_of_before(config, there) == flags
    assert flags_of_before(config, "derm_cases/manifest-000000000000") == ""
