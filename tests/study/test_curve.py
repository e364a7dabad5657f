"""The picture of a study: what is in it, that it is the same twice, and that names keep apart."""

import itertools
import os
import re

import numpy as np
import pytest
import tensorflow as tf

from micle_tf.study import curve
from tests.study.summaries import METRIC, NAN, study, summary

EIGHT = ["micle", "supervised", "random", "simclr", "half", "imagenet", "transfer", "no_blur"]


def drawn(folder, summaries, **others):
    """The texts of the SVG, and the bytes of both files."""
    path = os.path.join(folder, "curve")
    curve.draw(summaries, path, **{"metric": METRIC, "reference": "supervised"} | others)
    svg, png = (tf.io.gfile.GFile(f"{path}.{suffix}", "rb").read() for suffix in ("svg", "png"))
    return re.findall(r"<text[^>]*>(.*?)</text>", svg.decode()), (svg, png)


def test_curves_have_names_ticks_and_what_the_lines_are(tmp_path):
    texts, (_, png) = drawn(str(tmp_path), study(EIGHT[:3]))
    assert set(EIGHT[:3]) | {"10 %", "30 %", "100 %", METRIC} <= set(texts)
    assert f"{METRIC} by share of the labels" in texts
    assert "mean of 3 seeds, band: 95 % interval; dashed: supervised with 100 % of the labels" in (
        texts
    )
    assert sorted(os.listdir(tmp_path)) == ["curve.png", "curve.svg"]
    height, width, _ = tf.io.decode_png(png).shape
    assert (width, height) == (1125, 675)


@pytest.mark.parametrize("fractions", [(0.1, 1.0), (0.1,)])
def test_the_same_bytes_twice(tmp_path, fractions):
    files = []
    for name in "ab":
        (tmp_path / name).mkdir()
        files.append(drawn(str(tmp_path / name), study(EIGHT, fractions))[1])
    assert files[0] == files[1] and b"<dc:date>" not in files[0][0]


def test_many_variants_have_bars_and_marks_of_their_own(tmp_path):
    texts, _ = drawn(str(tmp_path), study(EIGHT))
    assert set(EIGHT) <= set(texts) and "mean of 3 seeds, bar" in " ".join(texts)
    lines = curve.by_label(study([str(k) for k in range(14)] + ["supervised"]))
    styles = curve._styles(lines, "supervised")
    assert len({tuple(style.items()) for style in styles.values()}) == 15
    assert styles["supervised"]["color"] == "#000000"


def test_one_fraction_is_a_row_for_each_variant(tmp_path):
    texts, _ = drawn(str(tmp_path), study(EIGHT, (0.015,), seeds=1, sd=NAN))
    assert [text for text in texts if text in EIGHT] == EIGHT
    assert f"{METRIC} with 1.5 % of the labels" in texts
    assert "(with one seed, without the variance of training)" in " ".join(texts)


def test_what_has_no_mean_or_interval_and_a_reference_that_is_not_there(tmp_path):
    some = [
        summary("micle", 0.1, 0.8), summary("micle", 1.0, 0.9, low=NAN, high=NAN),
        summary("a $b$ & c", 0.1, 0.7), summary("gone", 1.0, NAN),
        summary("other", 1.0, 0.9, metric="case/top1"),
    ]  # fmt: skip
    texts, _ = drawn(str(tmp_path), some)
    assert {"micle", "a $b$ &amp; c"} <= set(texts) and not {"gone", "other"} & set(texts)
    assert "dashed" not in " ".join(texts)
    with pytest.raises(ValueError, match="draw: no mean of case/top3"):
        drawn(str(tmp_path), some, metric="case/top3")


def test_it_is_written_where_gfile_reaches():
    texts, _ = drawn("ram://test_curve", study(EIGHT[:2], (0.1, 1.0)))
    assert "micle" in texts


def test_percentages_that_would_overlap_are_left_out(tmp_path):
    tenths = [k / 10 for k in range(1, 11)]
    texts, _ = drawn(str(tmp_path), study(EIGHT[:2], tenths))
    assert [text for text in texts if re.fullmatch(r"\d+ %", text)] == [
        f"{k} %" for k in (100, 80, 60, 40, 30, 20, 10)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_names_are_a_gap_apart_and_no_further_than_they_must(seed):
    """Against a search over all ways to keep four names apart on a grid."""
    rng = np.random.default_rng(seed)
    wanted, gap = np.sort(rng.integers(0, 24, 4)), 5
    got = curve.apart(wanted.astype(float), gap, 0.0, 24.0)
    assert np.all(np.diff(got) >= gap - 1e-9) and got[0] >= 0 and got[-1] <= 24
    ways = np.array(list(itertools.combinations(np.arange(0, 24.01, 0.5), 4)))
    ways = ways[np.all(np.diff(ways, axis=1) >= gap, axis=1)]
    least = ((ways - wanted) ** 2).sum(axis=1).min()
    assert ((got - wanted) ** 2).sum() <= least + 1e-9


def test_names_that_fit_stay_and_too_many_begin_at_the_bottom():
    assert curve.apart(np.array([1.0, 3.0, 9.0]), 2.0, 0.0, 10.0).tolist() == [1, 3, 9]
    assert curve.apart(np.zeros(4), 5.0, 2.0, 10.0).tolist() == [2, 7, 12, 17]


def test_it_leaves_settings_of_matplotlib_and_figures_as_they_are(tmp_path):
    import matplotlib.pyplot as plt

    before, figures = dict(plt.rcParams), plt.get_fignums()
    drawn(str(tmp_path), study(EIGHT[:2]))
    assert dict(plt.rcParams) == before and plt.get_fignums() == figures
