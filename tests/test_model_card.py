"""The model card: numbers come from the run, and nothing local or personal gets in."""

import itertools
import types

import keras
import pytest

from micle_tf.config import Config
from micle_tf.model_card import model_card, signature_rows
from micle_tf.models import resnet_encoder
from micle_tf.training.strategy import set_precision

pytestmark = pytest.mark.usefixtures("whole_networks")

PLACES = {
    "manifest": "/home/anna/cases.csv",
    "image_dir": "/home/anna/photos",
    "data_dir": "/home/anna/data",
    "model_dir": "/home/anna/runs/step 7/b",
    "checkpoint": "/home/anna/runs/step 7/a",
}
FACTS = {
    "splits": {
        "train": {"patients": 1200, "cases": 1980, "images": 4321, "labelled": 650},
        "test": {"patients": None, "cases": 7, "images": 9, "labelled": 0},
    },
    "labels": {"naevus": 1400, "mole|mark": 7},
    "lineage": ["random weights", "pretrain (micle)", "finetune"],
}


def classifier_of(mode="finetune", **changes):
    encoder = resnet_encoder(10, 1 / 16, input_shape=(40, 40, 3))
    config = Config.of_mode(
        mode, image_size=40, resnet_depth=10, width_multiplier=1 / 16, vertical_flip=True,
        columns="label=a|b", bootstrap_samples=500, **PLACES,
    )  # fmt: skip
    fields = {
        "run": PLACES["model_dir"],
        "config": config,
        "weights": f"{PLACES['model_dir']}, step 1,500",
        "encoder": encoder,
        "head": keras.Sequential([keras.Input((32,)), keras.layers.Dense(3)]),
        "names": ("naevus", "mole|mark", "<other>"),
        "multilabel": False,
        "result": {
            "dataset": "derm_cases/manifest-0a1b",
            "metrics": {"case/top1": 0.83249, "case/auc/<other>": None, "loss": 2.0},
            "intervals": {"case/top1": [0.8111, 0.8524], "case/auc/<other>": [None, None]},
        },
        "data": "derm_cases/manifest-0a1b",
    }
    return types.SimpleNamespace(**fields | changes)


def section(card, title):
    return card.split(f"\n## {title}\n\n")[1].split("\n## ")[0]


def test_numbers_of_the_run():
    card = model_card(classifier_of(), FACTS, "skin", 3)
    assert card.startswith("# skin, version 3\n") and card.endswith(".\n")
    assert "**Research software, not a medical device.**" in card
    assert "Not for diagnosis" in section(card, "Intended use")
    what = section(card, "What it is")
    encoder = classifier_of().encoder
    assert f"| parameters | {sum(w.numpy().size for w in encoder.weights):,} |" in what
    assert "| head | 99 parameters, 3 outputs |" in what  # 32 * 3 + 3
    assert "| trained by | random weights → pretrain (micle) → finetune |" in what
    assert "| weights | step 1,500 |" in what
    data = section(card, "Training data")
    assert "`derm_cases/manifest-0a1b`" in data
    assert "| train | 1,200 | 1,980 | 4,321 | 650 |" in data
    assert "| test | not known | 7 | 9 | 0 |" in data
    labels = section(card, "What it predicts")
    assert "softmax" in labels and "| naevus | 1,400 |" in labels
    assert "| mole\\|mark | 7 |" in labels and "| &lt;other> | n/a |" in labels
    good = section(card, "How good it is")
    assert "| case/top1 | 0.832 | 0.811 to 0.852 |" in good
    assert "| case/auc/&lt;other> | n/a | n/a |" in good
    assert "| loss | 2.000 | n/a |" in good
    assert "split `test`" in good and "500 bootstrap samples" in good


def test_settings_are_those_that_differ_and_no_paths():
    card = model_card(classifier_of(), FACTS)
    assert "anna" not in card and "step 7" not in card
    rows = [row.split(" | ")[0] for row in section(card, "Settings").splitlines() if "`" in row]
    names = ("columns", "image_size", "resnet_depth", "width_multiplier", "vertical_flip")
    assert rows[1:] == [f"| `{name}`" for name in (*names, "bootstrap_samples")]
    assert "| `columns` | label=a\\|b |  |" in card  # a bar in a value opens no column
    assert "| `vertical_flip` | true | false |" in card
    plain = model_card(classifier_of(config=Config.of_mode("finetune")), FACTS)
    assert section(plain, "Settings").strip() == "The defaults of `finetune`."


def test_every_table_is_whole():
    lines = model_card(classifier_of(), FACTS).splitlines()
    columns = [line.replace("\\|", "").count("|") if line.startswith("|") else 0 for line in lines]
    for above, below in itertools.pairwise(columns):
        assert above == below or 0 in (above, below)
    assert lines.count("| --- | --- | --- |") == 3  # metrics, signatures, settings
    assert max(columns) == 6


def test_what_is_not_known_is_said():
    unfinished = model_card(classifier_of(result=None), {})
    assert "nothing was measured" in section(unfinished, "How good it is")
    assert "step 1,500, of a run that was not finished" in unfinished
    assert "counts are left out" in section(unfinished, "Training data")
    assert "| trained by | finetune |" in unfinished
    assert "| naevus | n/a |" in unfinished


def test_result_that_says_less():
    card = model_card(classifier_of(result={"metrics": {"case/top1": 0.5}}), {})
    good = section(card, "How good it is")
    assert good.startswith("Measured on the split `test`. Losses apart")
    assert "| case/top1 | 0.500 | n/a |" in good
    empty = model_card(classifier_of(result={"dataset": "d"}), {})
    assert section(empty, "How good it is").strip() == "The run left no metrics."


def test_findings():
    card = model_card(classifier_of(multilabel=True), FACTS)
    labels = section(card, "What it predicts")
    assert "sigmoid" in labels and "softmax" not in labels
    assert "| finding | training images with it |" in labels
    assert "uncertain counted as left out, what was not mentioned as absent" in labels


def test_encoder_without_a_head():
    result = {"dataset": "d", "metrics": {"loss": 1.25}, "intervals": {}}
    encoder = classifier_of("pretrain", head=None, names=(), result=result)
    card = model_card(encoder, {})
    assert "What it predicts" not in card and "| head |" not in card
    assert "calibrated" not in card and "probabilities" not in card
    assert "| loss | 1.250 | n/a |" in card and "bootstrap" not in section(card, "How good it is")
    assert "| trained by | pretrain (micle) |" in card
    outputs = {name: output for name, _, output in signature_rows(encoder)}
    assert outputs["serving_default"] == outputs["embed"] == "features float32 [n, 32]"
    assert outputs["case"] == "features float32 [1, 32]"


@pytest.mark.parametrize(
    "precision, dtype",
    [("float32", None), ("mixed_bfloat16", "bfloat16"), ("float64", "float64")],
)
def test_dtype_of_the_encoder_is_said(precision, dtype):
    set_precision(precision)
    try:
        classifier = classifier_of()
        features = classifier.encoder(keras.ops.zeros((1, 40, 40, 3)), training=False)
    finally:
        set_precision("float32")
    assert keras.backend.standardize_dtype(features.dtype) == (dtype or "float32")
    text = section(model_card(classifier, {}), "Input").strip()
    said = f" Its features are {dtype}, as the run computed them; the SavedModel's are float32."
    assert text.endswith("float images [n, 40, 40, 3] in [0, 1]." + (said if dtype else ""))


def test_preprocessing_follows_the_size_of_the_input():
    large = section(model_card(classifier_of(), {}), "Input")
    assert "7/8" in large and "40 x 40 pixels" in large
    small = classifier_of(config=Config.of_mode("finetune", image_size=32))
    assert "the whole image is resized to 32 x 32" in section(model_card(small, {}), "Input")
