"""Paired differences of two runs against a recomputation by hand."""

import csv
import json

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from micle_tf.evaluation import compare, metrics

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
        for case, (label, row) in enumerate(zip(truth, scores, strict=True)):
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
    write_classes(tmp_path / "again", 1)
    found = compare.compare(str(tmp_path / "a"), str(tmp_path / "again"), samples=20)
    assert set(found.values()) == {(0.0, 0.0, 0.0)}


def write_findings(folder, scores):
    truth = np.array([[1, 0], [0, 1], [1, -1], [0, -2], [-2, 1], [1, 0]])
    folder.mkdir()
    with open(folder / "predictions.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        stated = [f"label_{name}" for name in FINDINGS]
        ids = ["level", "case_id", "patient_id", "image_id"]
        writer.writerow([*ids, *stated, *(f"p_{name}" for name in FINDINGS)])
        for case, (labels, row) in enumerate(zip(truth, scores, strict=True)):
            writer.writerow(["image", f"c{case}", f"p{case}", f"i{case}", *labels, *row])


def test_findings(tmp_path):
    rng = np.random.default_rng(0)
    worse, better = rng.random((6, 2)), rng.random((6, 2)) / 2
    better[[0, 2, 5], 0] += 0.5  # Edema is told perfectly
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
    assert compare.main([a, a, "--samples=9"]) == 2
    assert capsys.readouterr().err == "error: --samples: at least 10; --seed: at least 0\n"


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
    assert compare.main([str(tmp_path / "a"), str(tmp_path / "b")]) == 2
    assert capsys.readouterr().err == f"error: {path} row 6: damaged (the line has no end)\n"


def test_a_binary_file(tmp_path, capsys):
    write_classes(tmp_path / "a", 1)
    path = tmp_path / "a/predictions.csv"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0")
    assert compare.main([str(tmp_path / "a"), str(tmp_path / "b")]) == 2
    assert capsys.readouterr().err == f"error: {path} row 1: damaged (not UTF-8 text)\n"


@pytest.mark.parametrize("value", ["2", "", "x", "1.0"])
def test_a_damaged_finding(tmp_path, capsys, value):
    write_findings(tmp_path / "a", np.zeros((6, 2)))
    path = tmp_path / "a/predictions.csv"
    path.write_text(path.read_text().replace("c2,p2,i2,1,-1", f"c2,p2,i2,1,{value}"))
    assert compare.main([str(tmp_path / "a"), str(tmp_path / "b")]) == 2
    what = f"column label_Effusion holds '{value}'"
    assert capsys.readouterr().err == f"error: {path} row 4: damaged ({what})\n"


def test_the_command_line_prints_a_table(tmp_path, capsys):
    of_a = write_classes(tmp_path / "a", 1)
    of_b = write_classes(tmp_path / "b", 2)
    assert compare.main([str(tmp_path / "a"), str(tmp_path / "b"), "--samples=20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{tmp_path}/b (B) minus {tmp_path}/a (A), 95 % interval of the pairs:"
    assert lines[1].split() == ["A", "B", "B", "-", "A"]
    assert [line.split()[0] for line in lines[2:11]] == [
        "image/top1", "image/balanced_accuracy", "image/auc_macro", "image/auc/oval",
        "image/auc/ring", "image/auc/star", "image/average_precision_macro", "image/ece",
        "image/brier",
    ]  # fmt: skip
    assert [line.split("  p ")[0] for line in lines if "  p " in line] == [lines[4].split("  p")[0]]
    of_both = [
        metrics.classification_metrics(truth, scores, CLASSES)["auc_macro"]
        for truth, scores in (of_a, of_b)
    ]
    assert lines[4].split()[1:3] == [f"{value:.3f}" for value in of_both]
    assert lines[11] == (
        "compared on 39 images of 17 patients; resampled as patients: 6 cases without one"
    )
    assert lines[12].startswith("intervals: of other patients; how much one training differs")
    assert lines[13] == (
        "intervals of the AUC of one class or finding: DeLong's, in Obuchowski's form for several "
        "rows of a patient"
    )
    assert lines[14] == "p: the predictions of patients exchanged at random, 20 times"
    assert len(lines) == 15


# ---------------------------------------------------------------- rows that differ


def rewrite(folder, change):
    """Applies a function to the rows of a run's predictions.csv."""
    with open(folder / "predictions.csv", encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    with open(folder / "predictions.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *change(rows)])


def test_other_rows_are_counted_and_left_out_with_common(tmp_path, capsys):
    """On the rows that both have, the figures are those of tables that hold these alone."""
    for name, seed in (("a", 1), ("b", 2), ("c", 1), ("d", 2)):
        write_classes(tmp_path / name, seed)
    a, b, c, d = (str(tmp_path / name) for name in "abcd")

    def relabelled(rows):
        rows[4][4] = "star" if rows[4][4] != "star" else "oval"
        return rows[3:][::-1] + [["image", "new", "p99", "new", "oval", "0.2", "0.3", "0.5"]]

    rewrite(tmp_path / "b", relabelled)
    counts = "of 40 images in A and 38 in B 36 are the same, 1 have another label"
    assert compare.main([a, b, "--samples=10"]) == 2
    assert capsys.readouterr().err == (
        f"error: {b}: its predictions.csv is of other images or labels than {a}'s: {counts}; "
        "--common compares these\n"
    )
    kept = lambda rows: [row for k, row in enumerate(rows) if k >= 3 and k != 4]
    rewrite(tmp_path / "c", kept)
    rewrite(tmp_path / "d", kept)
    expected = compare.compare(c, d, samples=20)
    capsys.readouterr()
    assert compare.compare(a, b, samples=20, common=True) == expected
    assert capsys.readouterr().out.startswith(f"on what both have: {counts}\n")


def test_the_order_of_rows_does_not_count(tmp_path):
    write_classes(tmp_path / "a", 1)
    write_classes(tmp_path / "b", 2)
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    expected = compare.compare(a, b, samples=20)
    rewrite(tmp_path / "b", lambda rows: rows[::-1])
    assert compare.compare(a, b, samples=20) == expected


def with_cases(folder, dropped=()):
    """Adds a row per case, as evaluate does, of cases of two images each."""

    def change(rows):
        rows = [[r[0], f"c{int(r[1][1:]) // 2}", "", *r[3:]] for r in rows]
        label = {row[1]: row[4] for row in rows if row[4]}
        rows = [[*r[:4], label[r[1]], *r[5:]] for r in rows]
        of_case = [["case", row[1], "", "", *row[4:]] for row in rows[::2]]
        return [row for row in rows if row[3] not in dropped] + of_case

    rewrite(folder, change)  # fmt: skip


def test_a_case_is_the_same_if_its_images_are(tmp_path, capsys):
    for name, seed in (("a", 1), ("b", 2)):
        write_classes(tmp_path / name, seed)
    with_cases(tmp_path / "a")
    with_cases(tmp_path / "b", dropped=("i7",))
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    found = compare.compare(a, b, samples=20, common=True)
    assert capsys.readouterr().out.splitlines()[0] == (
        "on what both have: of 40 images in A and 39 in B 39 are the same; of 20 cases in A and 20 "
        "in B 19 are the same"
    )
    assert "case/top1" in found and "image/top1" in found


def test_runs_that_share_nothing(tmp_path, capsys):
    write_classes(tmp_path / "a", 1)
    write_classes(tmp_path / "b", 1)
    rewrite(tmp_path / "b", lambda rows: [[r[0], f"x{r[1]}", *r[2:]] for r in rows])
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    assert compare.main([a, b, "--common"]) == 2
    assert capsys.readouterr().err == (
        f"error: --common: {a} and {b} share no image with the same label\n"
    )


def test_runs_that_were_judged_on_what_they_learned(tmp_path, capsys):
    for name, seen in (
        ("a", {"learned": {"images": 0}, "judged": {"images": 40}}),
        ("b", {"learned": {"images": 12}, "judged": {"images": 40}}),
        ("old", None),
    ):
        write_classes(tmp_path / name, 1)
        content = {"mode": "evaluate"} | ({"seen": seen} if seen else {})
        (tmp_path / name / "result.json").write_text(json.dumps(content))
    a, b, old = (str(tmp_path / name) for name in ("a", "b", "old"))
    assert compare.main([a, b, "--samples=10"]) == 2
    assert capsys.readouterr().err == (
        f"error: {b}: learned from 12 of the 40 images that it was judged on, labels and all, "
        "which is no comparison; judge it on others, or go on with --allow_seen\n"
    )
    assert compare.main([a, b, "--samples=10", "--allow_seen"]) == 0
    assert f"warning: {b} learned from 12 of the 40 images" in capsys.readouterr().out
    assert compare.main([a, old, "--samples=10"]) == 0
    assert (
        f"note: what {old} had seen before it was judged cannot be checked"
        in capsys.readouterr().out
    )


# ---------------------------------------------------------------- several, seeds, others


def shown(capsys, *arguments):
    assert compare.main([*map(str, arguments), "--samples=40"]) == 0
    return capsys.readouterr().out.splitlines()


def write_seeds(folder, variant, seeds):
    for seed in seeds:
        write_classes(folder / f"{variant}{seed}", 10 * "ab".index(variant) + seed)
    return ",".join(str(folder / f"{variant}{seed}") for seed in seeds)


def test_a_runs_own_predictions_as_those_of_somebody_else(tmp_path, capsys):
    """With cases, whose probabilities are made again: the difference is 0 to the last bit."""
    write_classes(tmp_path / "a", 1)
    with_cases(tmp_path / "a")
    theirs = tmp_path / "theirs.csv"
    theirs.write_bytes((tmp_path / "a/predictions.csv").read_bytes())
    found = compare.compare(str(tmp_path / "a"), str(theirs), samples=20)
    assert {name.partition("/")[0] for name in found} == {"case", "image"}
    assert {one for one in found.values()} == {(0.0, 0.0, 0.0)}
    assert any("p 1.000" in line for line in shown(capsys, tmp_path / "a", theirs))


def test_somebody_elses_table_may_come_first(tmp_path):
    for name, seed in (("a", 1), ("b", 2)):
        write_classes(tmp_path / name, seed)
    a, b, theirs = str(tmp_path / "a"), str(tmp_path / "b"), tmp_path / "b.csv"
    theirs.write_bytes((tmp_path / "b/predictions.csv").read_bytes())
    there, back = compare.compare(a, str(theirs), samples=20), compare.compare(b, a, samples=20)
    assert there["image/top1"][0] == -back["image/top1"][0] != 0
    first = compare.compare(str(theirs), a, samples=20)
    assert first == back


def test_whichever_comes_first_and_names_the_patients(tmp_path, capsys):
    """Intervals are the same with the sign turned, where one run knows who has several cases."""
    for name, seed in (("a", 1), ("b", 2)):
        write_classes(tmp_path / name, seed)
    rewrite(tmp_path / "b", lambda rows: [[*row[:2], "", *row[3:]] for row in rows])
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    there, back = compare.compare(a, b, samples=50), compare.compare(b, a, samples=50)
    said = f"note: {b} does not name the patients of 34 images; taken from {a}"
    assert capsys.readouterr().out.splitlines() == [said, said]
    for name, (value, low, high) in there.items():
        assert back[name] == pytest.approx((-value, -high, -low), abs=1e-12)
    rewrite(tmp_path / "b", lambda rows: [[*row[:2], "p6", *row[3:]] for row in rows])
    assert compare.main([a, b]) == 2
    assert capsys.readouterr().err == (
        f"error: {b}: names another patient than {a} for 32 images, such as i6\n"
    )


def test_several_are_compared_with_the_first_and_their_p_adjusted(tmp_path, capsys):
    for seed in (1, 2, 3):
        write_classes(tmp_path / f"r{seed}", seed)
    runs = [str(tmp_path / f"r{seed}") for seed in (1, 2, 3)]
    lines = shown(capsys, *runs, "--primary=image/top1")
    titles = [line for line in lines if " minus " in line]
    assert titles == [
        f"{run} (B) minus {runs[0]} (A), 95 % interval of the pairs:" for run in runs[1:]
    ]
    ps = [line.split("  p ")[1].split(", by Holm ") for line in lines if "  p " in line]
    low, high = sorted(float(p) for p, _ in ps)
    assert sorted(float(holm) for _, holm in ps) == pytest.approx(
        sorted([min(1, 2 * low), max(min(1, 2 * low), high)]), abs=2e-3
    )
    pair = shown(capsys, runs[0], runs[1], "--primary=image/top1")
    assert next(line for line in pair if "image/top1" in line) + ", by Holm" == next(
        line.rpartition(" ")[0] for line in lines if "image/top1 " in line
    )


@pytest.mark.parametrize("primary", ["image/sensitivity/ring", "image/auc/ring", "case/npv/star"])
def test_the_metric_that_has_a_p_is_shown_where_the_table_has_it_not(tmp_path, capsys, primary):
    for name, seed in (("a", 1), ("b", 2)):
        write_classes(tmp_path / name, seed)
        with_cases(tmp_path / name)
    a, b = tmp_path / "a", tmp_path / "b"
    usual = [line.split()[0] for line in shown(capsys, a, b) if line[:3] in ("  i", "  c")]
    assert primary not in usual
    lines = shown(capsys, a, b, f"--primary={primary}")
    lines = [line for line in lines if line[:3] in ("  i", "  c")]
    assert {line.split()[0] for line in lines} == {*usual, primary}
    assert [line.split()[0] for line in lines if "  p " in line] == [primary]
    order = list(compare.compare(str(a), str(b), samples=40))
    assert sorted(lines, key=lambda line: order.index(line.split()[0])) == lines


def test_a_mean_over_other_classes_is_said(tmp_path, capsys):
    for name, seed in (("a", 1), ("b", 2)):
        write_classes(tmp_path / name, seed)
    never_ring = lambda rows: [[*row[:5], str(1 - float(row[7])), "0", row[7]] for row in rows]
    rewrite(tmp_path / "b", never_ring)
    lines = shown(capsys, tmp_path / "a", tmp_path / "b")
    said = f"image/ppv_macro: not compared, defined for other classes in {tmp_path / 'b'}"
    assert [line for line in lines if "ppv_macro" in line] == [said]


@pytest.mark.parametrize("primary", ["auc_macro", "auc/m@specificity=0.9", "f1/m"])
def test_a_class_called_like_a_condition(tmp_path, capsys, primary):
    for name, seed in (("a", 1), ("b", 2)):
        write_classes(tmp_path / name, seed)
        path = tmp_path / name / "predictions.csv"
        text = path.read_text().replace("ring", "m").replace("star", "m@specificity=0.9")
        path.write_text(text)
    lines = shown(capsys, tmp_path / "a", tmp_path / "b", f"--primary=image/{primary}")
    rows = [line.split()[0] for line in lines if line[0] == " "]
    assert [name for name in rows if "/auc/" in name] == [
        "image/auc/oval", "image/auc/m", "image/auc/m@specificity=0.9",
    ]  # fmt: skip
    assert not any("sensitivity" in name for name in rows)
    assert [line.split()[0] for line in lines if "  p " in line] == [f"image/{primary}"]


def test_what_was_compared_is_counted(tmp_path, capsys):
    for name, seed in (("a", 1), ("b", 2)):
        write_classes(tmp_path / name, seed)
    rewrite(tmp_path / "a", lambda rows: rows[6:])
    a, b, theirs = tmp_path / "a", tmp_path / "b", tmp_path / "b.csv"
    theirs.write_bytes((b / "predictions.csv").read_bytes())
    for other in (b, theirs):
        lines = shown(capsys, a, other, "--common")
        assert "compared on 33 images of 17 patients" in lines
    assert lines[0] == f"{theirs}: 6 rows are of other images"
    for run in (a, b):
        with_cases(run)
    said = "compared on 34 images, 17 cases; no patient is known, so that cases are resampled"
    assert said in shown(capsys, a, b, "--common")


def relabel(folder, label_of):
    rewrite(folder, lambda rows: [[*r[:4], label_of(k, r[4]), *r[5:]] for k, r in enumerate(rows)])


def test_what_is_not_defined_is_said(tmp_path, capsys):
    for name, seed in (("a", 1), ("b", 2)):
        write_classes(tmp_path / name, seed)
        relabel(tmp_path / name, lambda k, label: "ring" if label == "star" else label)
    lines = shown(capsys, tmp_path / "a", tmp_path / "b")
    said = [line for line in lines if line.startswith("not compared")]
    assert len(said) == 1
    assert said[0].startswith(
        "not compared, as not defined for all: 7 metrics (image/auc/star: no positive among 39 "
        "rows, image/average_precision/star: no positive among 39 rows, image/"
    )
    assert said[0].endswith(", ...)") and said[0].count(": no positive") == 3
    for name in "ab":
        relabel(tmp_path / name, lambda k, label: "oval" if label else "")
    lines = shown(capsys, tmp_path / "a", tmp_path / "b")
    assert not any("  p " in line or line.startswith("p:") for line in lines)
    assert "no p: no AUC is defined (image/auc/oval: no negative among 39 rows)" in lines


def test_resamples_without_a_class_are_counted(tmp_path, capsys):
    for name, seed in (("a", 1), ("b", 2)):
        write_classes(tmp_path / name, seed)
        relabel(tmp_path / name, lambda k, label: "star" if k == 0 else label and "oval")
        rewrite(tmp_path / name, lambda rows: [[*r[:6], "0", str(1 - float(r[5]))] for r in rows])
    lines = shown(capsys, tmp_path / "a", tmp_path / "b")
    said = [line for line in lines if "resamples do not define" in line]
    assert said[0].endswith(
        " of 40 resamples do not define image/balanced_accuracy, image/auc_macro, "
        "image/average_precision_macro and are not in their intervals"
    )
    assert 0 < int(said[0].split()[0]) < 40 and len(said) == 1


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_one_patient_has_no_interval(tmp_path, capsys, seeds):
    a, b = (write_seeds(tmp_path, variant, seeds) for variant in "ab")
    for run in (*a.split(","), *b.split(",")):
        rewrite(tmp_path / run, lambda rows: [[*row[:2], "p1", *row[3:]] for row in rows])
    found = compare.compare(a, b, samples=10)
    assert np.isnan([ends for _, *ends in found.values()]).all()
    lines = [line for line in shown(capsys, a, b) if line.startswith("  image/")]
    assert all("[too few for an interval]" in line for line in lines)


def test_help_says_what_gets_a_p(capsys):
    with pytest.raises(SystemExit):
        compare.main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "the metric that gets a p (default: macro AUC of the highest level)" in said
    assert "resamples of patients, and exchanges of them between two models for a p" in said


def test_seeds_of_two_variants(tmp_path, capsys):
    a, b = (write_seeds(tmp_path, variant, (0, 1, 2)) for variant in "ab")
    found = compare.compare(a, b, samples=40)
    pairs = [
        compare.compare(str(tmp_path / f"a{s}"), str(tmp_path / f"b{s}"), samples=40)
        for s in range(3)
    ]
    for name in ("image/top1", "image/auc_macro", "image/auc/oval", "image/ece"):
        value, low, high = found[name]
        assert value == pytest.approx(np.mean([pair[name][0] for pair in pairs]), abs=1e-12)
        assert low < value < high
    lines = shown(capsys, a, b)
    assert lines[-1] == (
        "intervals and p: of other patients and other seeds (Obuchowski-Rockette, 3 seeds as "
        "readers)"
    )
    assert "how much one training differs" in " ".join(
        shown(capsys, tmp_path / "a0", tmp_path / "b0")
    )


def test_what_is_no_comparison(tmp_path, capsys):
    for name in ("a", "b", "c"):
        write_classes(tmp_path / name, 1)
    for name in ("unlabelled", "unlabelled_too"):
        write_classes(tmp_path / name, 1)
        rewrite(tmp_path / name, lambda rows: [[*row[:4], "", *row[5:]] for row in rows])
    write_classes(tmp_path / "strange", 1)
    rewrite(tmp_path / "strange", lambda rows: [[*row[:5], "1.5", *row[6:]] for row in rows])
    (tmp_path / "a/predictions.csv.old").write_text("")
    few = tmp_path / "few.csv"
    few.write_text("image_id,oval,ring,star\ni1,1,0,0\nnew,1,0,0\n")
    a, b, c, unlabelled, unlabelled_too, strange = (
        str(tmp_path / name) for name in ("a", "b", "c", "unlabelled", "unlabelled_too", "strange")
    )
    for arguments, message in (
        ([f"{a},{b}", c], f"{c}: 1 seed, but {a},{b} has 2; seeds are paired in their order"),
        ([f"{a},{a}", f"{b},{c}"], f"{a},{a}: the same run twice is no second seed"),
        (["", a], "A: empty name"),
        ([a, b, " "], "B: empty name"),
        ([a, f"{a}/predictions.csv.old"], f"{a}/predictions.csv.old: a file of predictions ends"),
        ([f"{a},", b], f"{a},: a name between two commas is empty"),
        (
            [few, f"{tmp_path}/other.csv"],
            f"{few}: has no labels; compare it with a run, from which they are",
        ),
        ([a, few], f"{few}: of 40 images of the run 39 are missing, and 1 of its 2 rows are of"),
        ([a, b, "--primary=image/auc_macr"], "--primary=image/auc_macr: is not there; did you"),
        ([unlabelled, unlabelled_too], "nothing that was predicted has a label"),
        ([strange, a], f"{strange}: its predictions.csv holds a probability outside 0 to 1"),
        ([a], "the following arguments are required: B"),
    ):
        assert compare.main([str(one) for one in arguments]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: {message}") and error.count("\n") == 1, error
    assert compare.main([a, str(few), "--common", "--samples=10"]) == 0
    assert "of 40 images in A and 1 in B 1 are the same" in capsys.readouterr().out


def test_what_is_asked_beyond_what_predictions_say(tmp_path, capsys):
    for name, seed in (("a", 1), ("b", 2)):
        write_classes(tmp_path / name, seed)
        rows = (tmp_path / name / "predictions.csv").read_text()
        (tmp_path / name / "validation_predictions.csv").write_text(rows)
    a, b = tmp_path / "a", tmp_path / "b"
    asked = ["--operating_points=sensitivity@specificity=0.5", "--prevalence=0.1", "--calibrated"]
    lines = [line.split()[0] for line in shown(capsys, a, b, *asked)]
    for name in (
        "image/sensitivity/ring@specificity=0.5", "image/ppv/ring@prevalence=0.1",
        "calibrated/image/ece",
    ):  # fmt: skip
        assert name in lines
    (b / "validation_predictions.csv").unlink()
    lines = shown(capsys, a, b, *asked)
    assert f"note: {b} keeps no validation_predictions.csv: no operating points, and" in lines[0]
    assert not any("calibrated/" in line for line in lines)
    assert compare.main([str(a), str(b), "--operating_points=x"]) == 2
    assert capsys.readouterr().err.startswith("error: --operating_points=x: ")
