"""Tables of a study: every number where it belongs, and what is not defined said as such."""

import csv
import dataclasses
import io
import math
import re

import numpy as np
import pytest

from micle_tf.study import tables
from micle_tf.study.tables import Summary
from tests.study.summaries import METRIC, NAN, study, summary

PAIR = [
    summary("supervised", 1.0, 0.9),
    summary("supervised", 0.1, 0.8),
    summary("micle", 0.1, 0.8123, low=0.7904, high=0.8331),
    summary("micle", 1.0, 0.9),
]
ONE_SEED = "With one seed the variance of training is not in the intervals."


def cells(text):
    """The rows of all Markdown tables of a text, without rules."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def markdown(summaries, of=(METRIC,), primary=METRIC):
    return tables.markdown(summaries, reference="supervised", primary=primary, of=of)


@pytest.mark.parametrize("seed", range(3))
def test_csv_gives_every_number_back_to_the_bit(seed):
    numbers = np.random.default_rng(seed).normal(0, 1e-3, (5, 10))
    numbers[:, ::3] = NAN
    wanted = [Summary(f"a,{k}", 'b "c"', 0.1, "d", k, *row[:9]) for k, row in enumerate(numbers)]
    text = tables.csv_text(wanted)
    got = list(csv.DictReader(io.StringIO(text)))
    names = [field.name for field in dataclasses.fields(Summary)]
    assert list(got[0]) == [*names, "architecture"]
    assert {row["architecture"] for row in got} == {""}
    for row, one in zip(got, wanted, strict=True):
        for name, value in dataclasses.asdict(one).items():
            if isinstance(value, str):
                assert row[name] == value
            elif math.isnan(value):
                assert row[name] == ""
            else:
                assert float(row[name]) == value
    assert text.count("\n") == 6 and "\r" not in text and "nan" not in text


def test_markdown_has_means_by_variant_and_fraction_and_differences_behind():
    rows = cells(markdown(PAIR))
    assert rows == [
        ["variant", "10 %", "100 %"],
        ["supervised", "0.800 ± 0.004 [0.780, 0.810]", "0.900 ± 0.004 [0.880, 0.910]"],
        ["micle", "0.812 ± 0.004 [0.790, 0.833]", "0.900 ± 0.004 [0.880, 0.910]"],
        ["variant", "10 %", "100 %"],
        ["micle", *["+0.031 [+0.010, +0.052], p 0.004 (Holm 0.012)"] * 2],
    ]


def test_markdown_as_it_stands():
    text = markdown(PAIR[1:3])
    assert text == (
        "## case/auc_macro\n"
        "\n"
        "| variant | 10 % |\n"
        "|---|---|\n"
        "| supervised | 0.800 ± 0.004 [0.780, 0.810] |\n"
        "| micle | 0.812 ± 0.004 [0.790, 0.833] |\n"
        "\n"
        "By share of the labels: mean ± standard deviation of 3 seeds [95 % interval].\n"
        "\n"
        "## case/auc_macro, difference from supervised\n"
        "\n"
        "| variant | 10 % |\n"
        "|---|---|\n"
        "| micle | +0.031 [+0.010, +0.052], p 0.004 (Holm 0.012) |\n"
        "\n"
        "Mean difference [95 % interval], two-sided p, and p adjusted for all comparisons (Holm).\n"
    )


def test_other_metrics_have_no_differences_and_missing_ones_no_table():
    others = study(["micle", "supervised"], metric="case/top1")
    text = markdown([*others, *PAIR], of=["case/top1", "case/top3", METRIC])
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == [
        "## case/top1", f"## {METRIC}", f"## {METRIC}, difference from supervised"
    ]  # fmt: skip
    assert markdown(PAIR, of=["case/top3"]) == ""
    assert "difference" not in markdown(PAIR[:2])  # the reference alone


def test_one_seed_has_no_deviation_and_a_line_that_says_so():
    single = [dataclasses.replace(one, seeds=1, sd=NAN) for one in PAIR]
    text = markdown(single)
    assert "±" not in text and text.count(ONE_SEED) == 2 and "of 1 seed [95" in text
    assert "| 0.812 [0.790, 0.833] |" in text
    assert ONE_SEED not in markdown(PAIR)
    mixed = markdown([*PAIR[:2], *single[2:]])
    assert "standard deviation of 1 to 3 seeds" in mixed and mixed.count(ONE_SEED) == 2


def test_what_is_not_defined_or_not_there():
    text = markdown([
        summary("supervised", 0.1, 0.8),
        summary("a", 0.1, NAN, difference=NAN),
        summary("b", 1.0, 0.7, low=NAN, difference=-0.1, difference_high=NAN, p=NAN),
        summary("c", 1.0, 0.7, difference=-0.1, p_holm=NAN, p=0.0004),
    ])  # fmt: skip
    assert cells(text)[1:4] == [
        ["supervised", "0.800 ± 0.004 [0.780, 0.810]", "-"],
        ["a", "n/a", "-"],
        ["b", "-", "0.700 ± 0.004"],
    ]
    assert cells(text)[6:] == [
        ["a", "n/a", "-"], ["b", "-", "-0.100"], ["c", "-", "-0.100 [+0.010, +0.052], p <0.001"],
    ]  # fmt: skip


def test_a_variant_that_was_judged_on_two_stages_has_two_rows():
    both = [*PAIR[2:], *(dataclasses.replace(one, stage="nih", mean=0.5) for one in PAIR[2:])]
    found = tables.by_label([*PAIR[:2], *both])
    assert list(found) == ["supervised", "micle, finetune", "micle, nih"]
    assert [one.fraction for one in found["supervised"]] == [0.1, 1.0]
    assert {one.mean for one in found["micle, nih"]} == {0.5}


@pytest.mark.parametrize(
    "fraction, text",
    [(0.1, "10 %"), (0.015, "1.5 %"), (1.0, "100 %"), (0.07, "7 %"), (0.29, "29 %"),
     (0.0001, "0.01 %"), (0.125, "12.5 %"), (1 / 3, "33.33 %")],
)  # fmt: skip
def test_shares(fraction, text):
    assert tables.share(fraction) == text


def test_terminal_is_aligned_and_as_wide_as_a_terminal():
    variants = ["supervised", "micle", "a_variant_of_some_length"]
    text = tables.terminal(study(variants, (0.01, 0.1, 1.0)), reference="supervised",
                           primary=METRIC)  # fmt: skip
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100 and lines[0] == METRIC
    assert f"{METRIC}, difference from supervised" in lines
    heads = [k for k, line in enumerate(lines) if line.startswith("  variant ")][:2]
    assert [lines[k].split()[1::2] for k in heads] == [["1", "10"], ["100"]]
    for k in heads:
        starts = [found.start() for found in re.finditer(r"\d+ %", lines[k])]
        for row in lines[k + 1 : k + 4]:
            assert all(row[start - 2 : start + 2] == "  0." for start in starts), row
    assert text.count("+0.031 [+0.010, +0.052], p 0.004 (Holm 0.012)") == 6
    assert "  micle                     0.890 ± 0.004 [0.870, 0.900]\n" in text
    assert tables.terminal(PAIR, reference="supervised", primary="case/top1") == ""


def test_terminal_of_one_seed():
    single = study(["supervised", "micle"], (0.1, 1.0), seeds=1, sd=NAN)
    text = tables.terminal(single, reference="supervised", primary=METRIC)
    assert "  micle       0.840 [0.820, 0.850]  0.890 [0.870, 0.900]\n" in text
    assert text.count(ONE_SEED) == 2


def test_labels_that_are_needed():
    text = tables.label_efficiency_markdown(
        [
            ("a", 0.231, 0.154, 0.409), ("b", 0.1, 0.1, 0.33), ("c", NAN, 0.9, math.inf),
            ("d", NAN, math.inf, math.inf), ("e", 0.55, 0.3, math.inf), ("f", 0.996, NAN, NAN),
            ("g", 1.0, 0.1234, 1.0), ("h", NAN, NAN, NAN),
        ],
        reference="supervised",
        smallest=0.1,
    )  # fmt: skip
    assert cells(text) == [
        ["variant", "labels needed"],
        ["a", "23 % [15 %, 41 %]"],
        ["b", "≤ 10 % [≤ 10 %, 33 %]"],
        ["c", "not reached [90 %, not reached]"],
        ["d", "not reached"],
        ["e", "55 % [30 %, not reached]"],
        ["f", "100 %"],
        ["g", "100 % [12 %, 100 %]"],
        ["h", "not reached"],
    ]
    assert text.startswith("## Labels needed\n") and "≤: the smallest share" in text
    assert "as well as supervised with all of them [95 % interval over patients]." in text
    none = tables.label_efficiency_markdown([("a", 0.5, 0.4, 0.6)], reference="b", smallest=0.1)
    assert "≤" not in none


def test_labels_needed_as_csv():
    rows = [
        ("test", "simclr", 0.25, 0.1, math.inf),
        ("test", "random", math.nan, math.nan, math.nan),
    ]
    text = tables.label_efficiency_csv(rows)
    assert text == "stage,variant,fraction,low,high\ntest,simclr,0.25,0.1,inf\ntest,random,,,\n"


# ---------------------------------------------------------------- several architectures


def of_architectures(fractions=(0.1, 1.0)):
    """Three variants, the last of which the second architecture has not."""
    found = study(["supervised-r18", "micle-r18", "simclr-r18", "supervised-r50"], fractions)
    of_references = {"difference": NAN, "difference_low": NAN, "difference_high": NAN, "p": NAN}
    found = [
        dataclasses.replace(one, **of_references) if "supervised" in one.variant else one
        for one in found
    ]
    return [*found, *study(["micle-r50"], fractions)]


def test_architectures_by_variants_at_each_fraction():
    found = of_architectures()
    text = tables.markdown(
        found, reference="supervised", primary=METRIC, of=(METRIC,), architectures=("r18", "r50")
    )
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        f"## {METRIC}",
        f"## {METRIC}, difference from supervised of the same architecture",
        f"## {METRIC}, architecture x pretraining, 10 % of labels",
        f"## {METRIC}, architecture x pretraining, 100 % of labels",
    ]
    rows = cells(text)
    by_variant = {row[0]: row[2] for row in rows[1:6]}  # with all labels
    assert [row[0] for row in rows[7:10]] == ["micle-r18", "simclr-r18", "micle-r50"]
    assert rows[-3:] == [
        ["architecture", "supervised", "micle", "simclr"],
        ["r18", *(by_variant[f"{one}-r18"] for one in ("supervised", "micle", "simclr"))],
        ["r50", by_variant["supervised-r50"], by_variant["micle-r50"], "-"],
    ]
    assert rows[-3][0] == rows[-6][0] and "Mean ± standard deviation of 3 seeds [95" in text


def test_terminal_says_of_what_the_difference_is():
    text = tables.terminal(
        of_architectures(), reference="supervised", primary=METRIC, architectures=("r18", "r50")
    )
    assert f"\n{METRIC}, difference from supervised of the same architecture\n" in text
    assert text.count("supervised-r") == 2


# ---------------------------------------------------------------- MICLe on and off


def on_off():
    """At two fractions; the second pair is there at one, and of the primary metric alone."""
    found = []
    for metric, p in ((METRIC, 0.004), ("case/top1", NAN)):
        for fraction in (0.1, 1.0):
            off, on = (summary(one, fraction, 0.8, metric=metric) for one in ("simclr", "micle"))
            on = dataclasses.replace(on, mean=0.831, p=p, p_holm=3 * p)
            found.append(tables.OnOff(dataclasses.replace(off, difference=NAN), on))
    off, on = summary("simclr-x", 1.0, NAN), summary("micle-x", 1.0, 0.9)
    return [*found, tables.OnOff(off, dataclasses.replace(on, difference=NAN))]


def test_micle_on_and_off():
    text = tables.on_off_markdown(on_off(), (METRIC, "case/top1", "case/auc/a"))
    first, second = text.split("\n## ")
    assert first.startswith(f"## MICLe on and off, {METRIC}\n")
    assert second.startswith("MICLe on and off, case/top1\n")
    head = ["off, on", "10 %: off", "10 %: on", "10 %: on - off"]
    head += [cell.replace("10 %", "100 %") for cell in head[1:]]
    both = ["0.800", "0.831", "+0.031 [+0.010, +0.052], p 0.004 (Holm 0.012)"]
    assert cells(first) == [
        head, ["simclr, micle", *both, *both],
        ["simclr-x, micle-x", "-", "-", "-", "n/a", "0.900", "n/a"],
    ]  # fmt: skip
    without_p = ["0.800", "0.831", "+0.031 [+0.010, +0.052]"]
    assert cells(second) == [head, ["simclr, micle", *without_p, *without_p]]
    assert "two-sided p" in first and "two-sided p" not in second
    assert ONE_SEED not in text


def test_micle_on_and_off_as_csv():
    text = tables.on_off_csv(on_off())
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == [
        "stage", "off", "on", "fraction", "metric", "off_mean", "on_mean", "difference", "low",
        "high", "p", "p_holm", "seeds", "off_sd", "on_sd",
    ]  # fmt: skip
    assert [row["fraction"] for row in rows] == ["0.1", "1.0", "0.1", "1.0", "1.0"]
    assert list(rows[0].values()) == [
        "finetune", "simclr", "micle", "0.1", METRIC, "0.8", "0.831", "0.031", "0.01", "0.052",
        "0.004", "0.012", "3", "0.004", "0.004",
    ]  # fmt: skip
    assert rows[2]["p"] == rows[2]["p_holm"] == rows[4]["off_mean"] == rows[4]["difference"] == ""
