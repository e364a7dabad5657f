"""Who was judged: cohort.csv, the counts that reports of a study ask for (TRIPOD+AI, CLAIM 2024).

    split,item,value,patients,cases,images,share
    train,all,,612,1840,3655,1.0
    train,labelled,,612,1840,3602,0.985500
    train,used,,61,184,365,0.099863
    train,class,melanoma,57,60,118,0.032760
    train,attribute:sex,female,301,911,1822,0.498500
    all,left out,is damaged,,,3,
    test,judged by other runs,2,,,,

Used are those that a run learned from, at its --label_fraction, or that are judged.
`share` is that of images: of a class or finding among the labelled images (its prevalence), of the
rest among all of the split. Patients are left blank where none is known.
"""

import collections
import contextlib
import csv
import io
import math
import os

import numpy as np
import tensorflow as tf

from micle_tf.config.modes import JUDGE
from micle_tf.data.targets import is_labelled
from micle_tf.errors import BadInput
from micle_tf.run_config import is_run, read_config

HEADER = ("split", "item", "value", "patients", "cases", "images", "share")
_STATES = {1: "present", 0: "absent", -1: "uncertain", -2: "not mentioned"}
_TEXTS = 30  # values of an attribute that are listed; the others are one line
_DISTINCT = 12  # numbers of an attribute that are listed; more are counted by tens


def cohort_csv(splits, targets, left_out=(), others=None):
    """The text of cohort.csv.

    Args:
      splits: `LabelledSplit`s.
      targets: `Targets`.
      left_out: a line on each image that is in no split; what stands behind the last colon is why.
      others: {split: what `judged_before` says of it}.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for split in splits:
        index = split.reader.index
        for item, value, images, whole in _items(split, targets):
            share = f"{images.sum() / whole:.6f}" if whole else ""
            writer.writerow([split.name, item, value, *_counts(index, images), share])
    reasons = collections.Counter(line.rpartition(": ")[2] for line in left_out)
    for reason, count in reasons.most_common():
        writer.writerow(["all", "left out", reason, "", "", count, ""])
    for name, count in (others or {}).items():
        writer.writerow([name, "judged by other runs", count, "", "", "", ""])
    return text.getvalue()


def _items(split, targets):
    """Yields (item, value, [I] bool, of how many images the share is)."""
    index, labels = split.reader.index, split.labels
    total, known = index.num_images, is_labelled(labels)
    everything = np.ones(total, bool)
    yield "all", "", everything, total
    yield "labelled", "", known, total
    yield "used", "", np.isin(np.arange(total), split.images), total
    yield "unlabelled", "", ~known, total
    if targets.multilabel:
        for k, name in enumerate(targets.names):
            for value, state in _STATES.items():
                yield f"finding:{name}", state, known & (labels[:, k] == value), known.sum()
    else:
        for k, name in enumerate(targets.names):
            yield "class", name, labels == k, known.sum()
    for name in index.attributes.names.tolist() if index.attributes else ():
        for value, images in _distribution(index.attributes.of(name)):
            yield f"attribute:{name}", value, images, total


def _distribution(texts):
    """[(value, [I] bool)]: texts by how many have them, many different numbers by tens."""
    values = np.unique(texts[texts != ""])
    numbers = {value: _as_number(value) for value in values.tolist()}
    if len(values) > _DISTINCT and None not in numbers.values():
        tens = {value: int(number // 10) for value, number in numbers.items()}
        ten = np.array([tens.get(text, -(10**9)) for text in texts.tolist()])
        listed = [(f"{10 * k} to {10 * k + 10}", ten == k) for k in sorted(set(tens.values()))]
    else:
        groups = [(value, texts == value) for value in values.tolist()]
        groups.sort(key=lambda group: -group[1].sum())
        listed, rest = groups[:_TEXTS], groups[_TEXTS:]
        if rest:
            listed.append(("others", np.any([images for _, images in rest], axis=0)))
    blank = texts == ""
    return [*listed, ("not stated", blank)] if blank.any() else listed


def _counts(index, images):
    """[patients or "", cases, images] of a mask of images."""
    cases = np.unique(index.case_of_image[images])
    patients = np.unique(index.patient_id[cases])
    known = patients[patients != ""]
    return [len(known) if index.num_patients else "", len(cases), int(images.sum())]


def judged_before(run, checkpoint, data, eval_split):
    """How many other finished runs judged a split, below the first run of the chain.

    Whoever chooses among runs by what they do on a split has chosen on it.

    Args:
      run: directory of the run that is judged.
      checkpoint: the run that it came from; "" for none.
      data: name of the data.
      eval_split: as of --eval_split.
    """
    found = 0
    for folder, _, names in tf.io.gfile.walk(_first_of_chain(checkpoint) or run):
        if "result.json" in names and not _same_place(folder, run):
            found += _judged(folder, data, eval_split)
    return found


def _first_of_chain(checkpoint):
    """The run that the run of a checkpoint began with, as far as the directories are there."""
    runs = []
    with contextlib.suppress(BadInput):  # one whose config.json is damaged begins the chain
        while checkpoint and checkpoint not in runs and is_run(checkpoint):
            runs.append(checkpoint)
            checkpoint = read_config(checkpoint)[0].checkpoint
    return runs[-1] if runs else ""


def _same_place(a, b):
    return a == b or ("://" not in a and os.path.realpath(a) == os.path.realpath(b))


def _judged(run, data, eval_split):
    """Whether a finished run judged a split of the data."""
    try:
        config, facts = read_config(run)
    except BadInput:
        return False
    return config.mode in JUDGE and facts.get("data") == data and config.eval_split == eval_split


def _as_number(text):
    """The finite number that a text is, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
