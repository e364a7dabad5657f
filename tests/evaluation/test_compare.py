"""Paired differences of two runs against a recomputation by hand."""

import csv

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from micle_tf.evaluation import compare

CLASSES = ("oval", "ring", "star")
FINDINGS = ("Edema", "Effusion")


def write_classes(folder, seed, num_cases=40):
    """predictions.csv of one image per case, two cases per patient, the last case unlabelled."""
    truth = np.random.default_rng(0).integers(0, 3, num_cases)
    scores = np.random.default_rng(seed).dirichlet(np.ones(3), num_cases)
    folder.mkdir()
    with open(folder / "predictions.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        ids = ["level", "case_id", "patient_id", "image_id", "label"]
        writer.writerow([*ids, *(f"p_{name}" for name in CLASSES)])
        for case, (label, row) in enumerate(zip(truth, scores)):
            shown = CLASSES[label] if case < num_cases - 1 else ""
            # Cases 0 to 5 have no known patient.
            patient = f"p{case // 2}" if case > 5 else ""
            writer.writerow(["image", f"c{case}", patient, f"i{case}", shown, *row])
    return truth[:-1], scores[:-1]


def test_difference_and_interval_are_those_of_a_recomputation(tmp_path):
    truth, a = write_classes(tmp_path / "a", 1)
    _, b = write_classes(tmp_path / "b", 2)
    found = compare.compare(str(tmp_path / "a"), str(tmp_path / "b"), samples=60, seed=3)
    top1 = lambda rows: (
        (b[rows].argmax(1) == truth[rows]).mean() - (a[rows].argmax(1) == truth[rows]).mean()
    )
    auc = lambda scores: sklearn_metrics.roc_auc_score(truth, scores, multi_class="ovr")
    everything = np.arange(len(truth))
    assert found["image/top1"][0] == pytest.approx(top1(everything), abs=1e-12)
    assert found["image/auc_macro"][0] == pytest.approx(auc(b) - auc(a), abs=1e-12)

    patient = np.array([f"p{c // 2}" if c > 5 else f"\0c{c}" for c in range(len(truth))])
    unique, rng, values = np.unique(patient), np.random.default_rng(3), []
    for _ in range(60):
        drawn = unique[rng.choice(len(unique), size=len(unique))]
        values.append(top1(np.concatenate([np.flatnonzero(patient == p) for p in drawn])))
    assert found["image/top1"][1:] == pytest.approx(np.percentile(values, [2.5, 97.5]), abs=1e-12)


def test_a_run_is_no_better_than_itself(tmp_path):
    write_classes(tmp_path / "a", 1)
    found = compare.compare(str(tmp_path / "a"), str(tmp_path / "a"), samples=20)
    assert set(found.values()) == {(0.0, 0.0, 0.0)}


def write_findings(folder, scores):
    truth = np.array([[1, 0], [0, 1], [1, -1], [0, -2], [-2, 1], [1, 0]])
    folder.mkdir()
    with open(folder / "predictions.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        stated = [f"label_{name}" for name in FINDINGS]
        ids = ["level", "case_id", "patient_id", "image_id"]
        writer.writerow([*ids, *stated, *(f"p_{name}" for name in FINDINGS)])
        for case, (labels, row) in enumerate(zip(truth, scores)):
            writer.writerow(["image", f"c{case}", f"p{case}", f"i{case}", *labels, *row])


def test_findings(tmp_path):
    rng = np.random.default_rng(0)
    worse, better = rng.random((6, 2)), rng.random((6, 2))
    better[[0, 2, 5], 0] += 1  # Edema is told perfectly
    write_findings(tmp_path / "a", worse)
    write_findings(tmp_path / "b", better)
    found = compare.compare(str(tmp_path / "a"), str(tmp_path / "b"), samples=20)
    rows = [0, 1, 2, 3, 5]
    expected = 1 - sklearn_metrics.roc_auc_score([1, 0, 1, 0, 1], worse[rows, 0])
    assert found["findings/auc/Edema"][0] == pytest.approx(expected, abs=1e-12)


def test_runs_that_cannot_be_compared(tmp_path, capsys):
    write_classes(tmp_path / "a", 1)
    write_classes(tmp_path / "short", 1, num_cases=38)
    write_findings(tmp_path / "findings", np.zeros((6, 2)))
    (tmp_path / "other").mkdir()
    (tmp_path / "other/predictions.csv").write_text("x,y\n1,2\n")
    a = str(tmp_path / "a")
    for name, message in (
        ("short", "its predictions.csv is of other images or labels than"),
        ("findings", "predicts other classes or findings than"),
        ("none", "predictions.csv: cannot be read: No such file or directory"),
        ("other", "predictions.csv: not a predictions.csv of ours"),
    ):
        assert compare.main([a, str(tmp_path / name)]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert compare.main([a, a, "--samples=0"]) == 2
    assert capsys.readouterr().err == "error: --samples: at least 1; --seed: at least 0\n"


@pytest.mark.parametrize(
    "line, damaged, row, what",
    [
        (3, "image,c1,,i1,ring,0.5,abc,0.2", 3, "column p_ring holds 'abc'"),
        (4, "image,c2,,i2,ring,nan,0.5,0.2", 4, "column p_oval holds 'nan'"),
        (4, "image,c2,,i2,ring,,0.5,0.2", 4, "column p_oval holds ''"),
        (41, "image,c39,p19,i39", 41, "4 fields, but the header has 8"),
        (5, "image,c3,,i3,ring,0.1,0.2,0.3,0.4", 5, "9 fields, but the header has 8"),
        (2, "image,c0,,i0,Ring,0.5,0.3,0.2", 2, "column label holds 'Ring'"),
        (7, 'image,"c5,,i5,ring,0.5,0.3,0.2', 7, "unexpected end of data"),
        (6, "image,c4,,\udcff\udcfe,ring,0.5,0.3,0.2", 6, "not UTF-8 text"),
    ],
)
def test_damaged_rows_are_named(tmp_path, capsys, line, damaged, row, what):
    write_classes(tmp_path / "a", 1)
    write_classes(tmp_path / "b", 2)
    path = tmp_path / "b/predictions.csv"
    lines = path.read_text().splitlines()
    lines[line - 1] = damaged
    path.write_bytes("".join(f"{text}\n" for text in lines).encode(errors="surrogateescape"))
    assert compare.main([str(tmp_path / "a"), str(tmp_path / "b")]) == 2
    assert capsys.readouterr().err == f"error: {path} row {row}: damaged ({what})\n"


def test_a_file_cut_off_in_its_last_number(tmp_path, capsys):
    write_classes(tmp_path / "a", 1, num_cases=5)
    path = tmp_path / "a/predictions.csv"
    path.write_bytes(path.read_bytes()[:-4])
    assert compare.main([str(tmp_path / "a")] * 2) == 2
    assert capsys.readouterr().err == f"error: {path} row 6: damaged (the line has no end)\n"


def test_a_binary_file(tmp_path, capsys):
    write_classes(tmp_path / "a", 1)
    path = tmp_path / "a/predictions.csv"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0")
    assert compare.main([str(tmp_path / "a")] * 2) == 2
    assert capsys.readouterr().err == f"error: {path} row 1: damaged (not UTF-8 text)\n"


@pytest.mark.parametrize("value", ["2", "", "x", "1.0"])
def test_a_damaged_finding(tmp_path, capsys, value):
    write_findings(tmp_path / "a", np.zeros((6, 2)))
    path = tmp_path / "a/predictions.csv"
    path.write_text(path.read_text().replace("c2,p2,i2,1,-1", f"c2,p2,i2,1,{value}"))
    assert compare.main([str(tmp_path / "a")] * 2) == 2
    what = f"column label_Effusion holds '{value}'"
    assert capsys.readouterr().err == f"error: {path} row 4: damaged ({what})\n"


def test_the_command_line_prints_a_table(tmp_path, capsys):
    write_classes(tmp_path / "a", 1)
    write_classes(tmp_path / "b", 2)
    assert compare.main([str(tmp_path / "a"), str(tmp_path / "b"), "--samples=20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[0] == "image/top1" and len(lines) == 4
