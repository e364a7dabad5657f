"""What a study leaves for people: files that are whole, words that say no more than is known."""

import csv
import dataclasses
import io
import math
import os
import re
import threading

import pytest

from micle_tf.errors import BadInput
from micle_tf.program import typed
from micle_tf.study import report, results
from micle_tf.study.directory import StudyDirectory
from micle_tf.study.reading import parse
from micle_tf.study.report import best_run, in_words
from micle_tf.study.results import Judged
from micle_tf.study.runs import planned
from micle_tf.study.tables import OnOff
from micle_tf.training.lock import RunLock
from tests.study.fake_runs import finished, judged, scores
from tests.study.summaries import METRIC, NAN, summary

TEXT = """
dataset = "derm_cases"
seeds = [0, 1]
label_fractions = [0.1, 1.0]
reference = "supervised"
[stages.simclr]
mode = "pretrain"
[stages.finetune]
mode = "finetune"
[stages.nih]
mode = "evaluate"
dataset = "nih_chest_xray14"
[variants]
supervised = ["finetune"]
simclr = ["simclr", "finetune", "nih"]
"""
STUDY = parse(TEXT, "mine")
RUNS = planned(STUDY, {})
SAMPLES = 10


@pytest.fixture
def directory(tmp_path):
    found = StudyDirectory(str(tmp_path / "study"))
    found.keep(RUNS, "data")
    return found


def done(directory, without=(), quality=(0.2, 0.5), runs=RUNS):
    """All runs but some, finished; "simclr" better than "supervised"."""
    for number, run in enumerate(runs):
        if run.path in without:
            continue
        if run.fraction is None:
            finished(directory.run(run))
        else:
            better = quality["simclr" in run.variants] + 0.1 * run.fraction
            metrics = {METRIC: 0.5}
            judged(directory.run(run), scores(number, better), metrics=metrics)


def content(directory, name):
    with open(os.path.join(directory.path, name), encoding="utf-8") as file:
        return file.read()


def files(directory):
    return sorted(name for name in os.listdir(directory.path) if not name.startswith("seed"))


# ---------------------------------------------------------------- files


def test_all_that_is_written_and_said(directory, capsys):
    done(directory)
    report.write(directory, STUDY, RUNS, SAMPLES)
    place = directory.path
    pictures = ["curve-nih.png", "curve-nih.svg", "curve.png", "curve.svg"]
    assert files(directory) == sorted(
        ["labels_needed.csv", *pictures, "study.csv", "study.json", "tables.csv", "tables.md"]
    )
    for name in pictures:
        assert os.path.getsize(os.path.join(place, name)) > 1000
    rows = list(csv.DictReader(io.StringIO(content(directory, "tables.csv"))))
    assert {(row["variant"], row["stage"]) for row in rows} == {
        ("supervised", "test"), ("simclr", "test"), ("simclr", "nih"),
    }  # fmt: skip
    assert len(rows) == 6 * 3
    assert content(directory, "study.csv").count("\n") == 1 + 12
    text = content(directory, "tables.md")
    headings = [line.lstrip("# ") for line in text.splitlines() if line.startswith("#")]
    metrics = ["case/auc_macro", "case/auc_macro, difference from supervised"]
    metrics += ["case/top1", "case/balanced_accuracy"]
    assert headings[:6] == ["mine: test", *metrics, "Labels needed"]
    assert headings[6:8] == ["mine: nih", "case/auc_macro"] and "Labels" not in headings[-1]
    said = capsys.readouterr().out
    assert "\nmine, test\ncase/auc_macro\n" in said and "\nmine, nih\ncase/auc_macro\n" in said
    assert "\nsimclr against supervised: no difference is shown" in said
    assert said.splitlines()[-3:] == [
        f"tables: {place}/tables.md, {place}/curve.png, {place}/curve-nih.png",
        f"every number: {place}/study.csv",
        f"next: {typed('--mode=export', f'--checkpoint={place}/seed0/simclr/finetune-1')}",
    ]


def test_what_is_missing_is_said_and_the_rest_is_there(directory, capsys):
    done(directory, without=["seed1/simclr/finetune-1", "seed1/simclr/finetune-1/nih"])
    report.write(directory, STUDY, RUNS, SAMPLES)
    said = capsys.readouterr().out
    assert "not in the tables, as runs of it are not there: simclr, 1\n" in said
    assert "not in the table of nih, as runs of it are not there: simclr, 1\n" in said
    assert f"--checkpoint={directory.path}/seed0/finetune-1\n" in said  # the best that is whole
    rows = list(csv.DictReader(io.StringIO(content(directory, "tables.csv"))))
    cells = {(row["variant"], row["fraction"]) for row in rows if row["stage"] == "test"}
    assert cells == {("supervised", "0.1"), ("supervised", "1.0"), ("simclr", "0.1")}


@pytest.mark.parametrize("without", [RUNS, [run for run in RUNS if run.path != "seed0/simclr"]])
def test_nothing_that_can_be_compared_is_said(directory, capsys, without):
    done(directory, without=[run.path for run in without])
    report.write(directory, STUDY, RUNS, SAMPLES)
    said = capsys.readouterr().out.splitlines()
    assert said[-2:] == [
        "no variant has all of its runs yet, so that there is nothing to compare",
        f"every number: {directory.path}/study.csv",
    ]
    assert len(said) == 4 + 2 + 2
    assert content(directory, "study.csv").count("\n") == 1
    assert content(directory, "tables.csv").count("\n") == 1
    assert content(directory, "tables.md") == ""
    assert "curve.png" not in files(directory)


def test_a_primary_metric_that_is_not_there_leaves_what_is_known(directory):
    done(directory)
    study = parse('primary = "case/auc/z"\n' + TEXT, "mine")
    with pytest.raises(BadInput, match=r"^primary: case/auc/z is not defined"):
        report.write(directory, study, RUNS, SAMPLES)
    assert content(directory, "study.csv").count("\n") == 1 + 12


def test_who_writes_waits_for_who_does(directory, monkeypatch):
    """Two processes that end at once would otherwise take each other's unfinished files."""
    done(directory)
    lock, order = RunLock(directory.path), []
    lock.acquire()
    let_go = threading.Timer(0.7, lambda: (order.append("let go"), lock.release()))
    monkeypatch.setattr(
        report, "write_text", lambda path, text: order.append(os.path.basename(path))
    )
    monkeypatch.setattr(report.curve, "draw", lambda *of, **others: order.append("curve"))
    let_go.start()
    report.write(directory, STUDY, RUNS, SAMPLES)
    let_go.join()
    assert order == [
        "let go",
        "study.csv",
        "tables.csv",
        "tables.md",
        "labels_needed.csv",
        "curve",
        "curve",
    ]


def test_what_cannot_be_written_leaves_what_was_there(directory, monkeypatch):
    done(directory)
    report.write(directory, STUDY, RUNS, SAMPLES)
    before = {name: content(directory, name) for name in ("tables.csv", "tables.md")}

    def fails(*of, **others):
        raise ZeroDivisionError

    monkeypatch.setattr(report.tables, "markdown", fails)
    with pytest.raises(ZeroDivisionError):
        report.write(directory, STUDY, RUNS, SAMPLES + 1)
    assert {name: content(directory, name) for name in before} == before
    assert not [name for name in files(directory) if name.startswith("unfinished")]


# ---------------------------------------------------------------- architectures, MICLe

MICLE = """
[stages.half]
mode = "pretrain"
method = "simclr"
[stages.micle]
mode = "pretrain"
method = "micle"
"""
ARCHITECTURES = """
[architectures.r18]
resnet_depth = 18
[architectures.r50]
resnet_depth = 50
"""


def with_micle(text=TEXT):
    text = text.replace('mode = "pretrain"', 'mode = "pretrain"\nmethod = "simclr"', 1)
    return text + "micle = ['half', 'micle', 'finetune', 'nih']\n" + MICLE


def test_each_architecture_has_pictures_of_its_own(directory, capsys):
    study = parse(with_micle() + ARCHITECTURES, "mine")
    runs = planned(study, {})
    done(directory, runs=runs)
    report.write(directory, study, runs, SAMPLES)
    place = directory.path
    curves = [f"curve{stage}-r{depth}" for stage in ("", "-nih") for depth in (18, 50)]
    pictures = [f"{name}.{suffix}" for name in curves for suffix in ("png", "svg")]
    assert files(directory) == sorted(
        ["labels_needed.csv", "micle.csv", *pictures, "study.csv", "study.json", "tables.csv",
         "tables.md"]
    )  # fmt: skip
    said = capsys.readouterr().out
    shown = ", ".join(f"{place}/{name}.png" for name in curves)
    assert f"tables: {place}/tables.md, {shown}\n" in said
    drawn = content(directory, "curve-r50.svg")
    assert "simclr-r50" in drawn and "r18" not in drawn
    assert "simclr-r18 against supervised-r18: " in said
    assert "micle-r50 against supervised-r50: " in said
    assert "micle-r50 against simclr-r50: " in said
    text = content(directory, "tables.md")
    assert "as well as supervised of the same architecture with all of them" in text
    assert "## case/top1, architecture x pretraining, 10 % of labels\n" in text
    names = {(f"{one}-r{depth}", f"r{depth}") for one in study.variants for depth in (18, 50)}
    for name in ("study.csv", "tables.csv"):
        rows = list(csv.DictReader(io.StringIO(content(directory, name))))
        assert {(row["variant"], row["architecture"]) for row in rows} == names
    best = said.splitlines()[-1]
    assert "/seed0/r18/" in best or "/seed0/r50/" in best


def test_micle_on_and_off_is_written_and_said(directory, capsys):
    study = parse(with_micle(), "mine")
    runs = planned(study, {})
    done(directory, runs=runs)
    report.write(directory, study, runs, SAMPLES)
    text = content(directory, "tables.md")
    assert text.count("## MICLe on and off, ") == 2 * 3  # stages, metrics
    assert text.index("MICLe on and off, case/balanced_accuracy") < text.index("Labels needed")
    rows = list(csv.DictReader(io.StringIO(content(directory, "micle.csv"))))
    assert [row["stage"] for row in rows] == ["test"] * 6 + ["nih"] * 6
    assert {(row["off"], row["on"]) for row in rows} == {("simclr", "micle")}
    said = capsys.readouterr().out.splitlines()
    begins = lambda start: sum(line.startswith(start) for line in said)
    assert begins("micle against simclr: ") == begins("nih: micle against simclr: ") == 1


def test_tables_that_a_smaller_study_lacks_are_there_no_longer(directory):
    study = parse(with_micle(), "mine")
    runs = planned(study, {})
    done(directory, runs=runs)
    report.write(directory, study, runs, SAMPLES)
    tables_of_some = {"labels_needed.csv", "micle.csv"}
    assert tables_of_some <= set(files(directory))
    smaller = parse(TEXT.replace("[0.1, 1.0]", "[1.0]"), "mine")
    report.write(directory, smaller, planned(smaller, {}), SAMPLES)
    assert not tables_of_some & set(files(directory))
    assert "micle" not in content(directory, "tables.md")


# ---------------------------------------------------------------- words


def found(*summaries, needed=(), primary=METRIC):
    return Judged("test", summaries, tuple(needed), primary, (primary,))


def words(*summaries, **others):
    return in_words(STUDY, found(*summaries, **others))


def against(low, high, metric=METRIC, **others):
    ends = {"difference": (low + high) / 2, "difference_low": low, "difference_high": high}
    return summary("simclr", 1.0, 0.9, metric=metric, **ends, **others)


@pytest.mark.parametrize(
    "metric, low, high, verdict",
    [
        (METRIC, 0.01, 0.05, "simclr is better than supervised: {m} +0.030 [+0.010, +0.050]"),
        (METRIC, -0.05, -0.01, "simclr is worse than supervised: {m} -0.030 [-0.050, -0.010]"),
        ("case/ece", 0.01, 0.05, "simclr is worse than supervised: {m} +0.030 [+0.010, +0.050]"),
        ("case/ece", -0.05, -0.01, "simclr is better than supervised: {m} -0.030 [-0.050, -0.010]"),
        (
            METRIC, -0.01, 0.03, "simclr against supervised: no difference is shown, "
            "case/auc_macro +0.010 [-0.010, +0.030]",
        ),
        (
            METRIC, 0.0, 0.02, "simclr against supervised: no difference is shown, "
            "case/auc_macro +0.010 [+0.000, +0.020]",
        ),
        (METRIC, NAN, NAN, "simclr against supervised: not known"),
    ],
)  # fmt: skip
def test_a_difference_is_shown_where_its_interval_says_so(metric, low, high, verdict):
    reference = summary("supervised", 1.0, 0.9, metric=metric)
    lines = words(reference, against(low, high, metric), primary=metric)
    assert lines == [verdict.format(m=metric)]


def test_a_difference_that_is_not_there_for_all_comparisons_is_not_shown():
    lines = words(summary("supervised", 1.0, 0.9), against(0.01, 0.05, p=0.03, p_holm=0.09))
    assert lines == [
        "simclr against supervised: no difference is shown for all comparisons together, "
        "case/auc_macro +0.030 [+0.010, +0.050], p by Holm 0.090"
    ]


def test_words_are_of_the_primary_metric_with_most_labels():
    few = summary("simclr", 0.1, 0.5, difference=-0.3, difference_low=-0.4, difference_high=-0.2)
    other = against(-0.3, -0.2, "case/top1")
    lines = words(summary("supervised", 1.0, 0.9), few, other, against(0.01, 0.05))
    assert lines == ["simclr is better than supervised: case/auc_macro +0.030 [+0.010, +0.050]"]


@pytest.mark.parametrize(
    "reference, expected",
    [
        ("supervised", ["micle is better than simclr: case/auc_macro +0.030 [+0.010, +0.050]"]),
        ("simclr", []),  # said already
        ("micle", []),
    ],
)
def test_micle_has_a_sentence_where_nothing_says_it_already(reference, expected):
    on = lambda fraction, metric=METRIC: dataclasses.replace(
        against(0.01, 0.05, metric), variant="micle", fraction=fraction
    )
    off = summary("simclr", 1.0, 0.8)
    pairs = [OnOff(off, on(0.1)), OnOff(off, on(1.0)), OnOff(off, on(1.0, "case/top1"))]
    judged_so = dataclasses.replace(found(summary(reference, 1.0, 0.9)), micle=tuple(pairs))
    study = dataclasses.replace(parse(with_micle(), "mine"), reference=reference)
    assert in_words(study, judged_so) == expected


def test_words_of_a_stage_that_transfers_begin_with_its_name():
    """And say nothing more of seeds and labels."""
    cells = [
        summary("supervised", 1.0, 0.8, stage="nih", seeds=1), summary("supervised", 0.1, 0.7),
        against(0.01, 0.05, stage="nih", seeds=1),
        dataclasses.replace(against(-0.01, 0.05, stage="nih", seeds=1), variant="micle"),
    ]  # fmt: skip
    of = dataclasses.replace(found(*cells, needed=[("simclr", 0.5, 0.4, 0.6)]), stage="nih")
    assert in_words(STUDY, of) == [
        "nih: simclr is better than supervised: case/auc_macro +0.030 [+0.010, +0.050]",
        "nih: micle against supervised: no difference is shown, case/auc_macro +0.020 [-0.010, "
        "+0.050]",
    ]
    alone = dataclasses.replace(of, summaries=tuple(cells[2:]))
    assert in_words(STUDY, alone) == []


def test_words_of_all_tables_are_said(directory, capsys):
    both = TEXT.replace('["finetune"]', '["finetune", "nih"]')
    study = parse(both, "mine")
    runs = planned(study, {})
    done(directory, runs=runs)
    report.write(directory, study, runs, SAMPLES)
    said = capsys.readouterr().out.splitlines()
    verdict = re.compile(r"(nih: )?simclr (against|is better than) supervised")
    of = [k for k, line in enumerate(said) if verdict.match(line)]
    assert len(of) == 2 and [said[k].startswith("nih: ") for k in of] == [False, True]
    assert said[of[0] + 1].startswith("simclr ") and "of the labels" in said[of[0] + 1]
    assert said[of[1] + 1].startswith("tables: ")


def test_one_seed_is_no_proof():
    lines = words(summary("supervised", 1.0, 0.9, seeds=1), against(0.01, 0.05, seeds=1))
    assert lines[1:] == [
        "one seed: another training could come out otherwise; seeds = [0, 1, 2] says how much"
    ]


@pytest.mark.parametrize(
    "needed, line",
    [
        (
            (0.4, 0.2, 0.85),
            "needs 40 % of the labels [95 % interval over patients: 20 %, 85 %] to be as good",
        ),
        (
            (0.4, 0.2, math.inf),
            "needs 40 % of the labels [95 % interval over patients: 20 %, never] to be as good",
        ),
        ((0.4, NAN, NAN), "needs 40 % of the labels to be as good as supervised with all labels"),
        (
            (0.1, 0.1, 0.3),
            "needs 10 % or fewer of the labels [95 % interval over patients: 10 %, 30 %] to be",
        ),
        ((NAN, 0.3, math.inf), "does not reach what supervised does with all labels"),
        ((NAN, NAN, NAN), "does not reach what supervised does with all labels"),
    ],
)
def test_labels_needed(needed, line):
    cells = [summary(v, f, 0.9) for v in ("supervised", "simclr") for f in (0.1, 1.0)]
    lines = words(*cells, needed=[("supervised", 1.0, 0.5, 1.0), ("simclr", *needed)])
    assert len(lines) == 2 and lines[1].startswith(f"simclr {line}")


def test_all_labels_of_a_study_may_be_a_share_of_them():
    cells = [summary(v, f, 0.9) for v in ("supervised", "simclr") for f in (0.01, 0.1)]
    lines = words(*cells, needed=[("simclr", 0.05, 0.02, 0.1)])
    assert lines[1] == (
        "simclr needs 5 % of the labels [95 % interval over patients: 2 %, 10 %] to be as good as "
        "supervised with 10 % of the labels"
    )


# ---------------------------------------------------------------- what is next


@pytest.mark.parametrize(
    "metric, supervised, simclr, path",
    [
        (METRIC, 0.8, 0.9, "seed0/simclr/finetune-1"),
        (METRIC, 0.9, 0.8, "seed0/finetune-1"),
        ("case/brier", 0.8, 0.9, "seed0/finetune-1"),
        (METRIC, NAN, 0.1, "seed0/simclr/finetune-1"),
        (METRIC, NAN, NAN, None),
    ],
)
def test_the_best_variant_is_exported(metric, supervised, simclr, path):
    cells = [
        summary(variant, fraction, mean, metric=metric)
        for variant, mean in (("supervised", supervised), ("simclr", simclr))
        for fraction, mean in ((0.1, 1 - mean), (1.0, mean))
    ]
    run = best_run(STUDY, RUNS, found(*cells, primary=metric))
    assert (run.path if run else None) == path


def test_where_no_mean_is_defined_nothing_is_drawn_and_nothing_next(directory, capsys, monkeypatch):
    judged_so = found(summary("supervised", 1.0, NAN), summary("simclr", 1.0, NAN))
    monkeypatch.setattr(results, "judged", lambda *of: ([judged_so], []))
    report.write(directory, STUDY, RUNS, SAMPLES)
    said = capsys.readouterr().out
    assert "next:" not in said and f"tables: {directory.path}/tables.md\n" in said
    assert "curve.png" not in files(directory)
