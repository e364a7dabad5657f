"""A classifier is put together again from its run directory, with the weights that were saved."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from micle_tf.config import Config, Encoder, ProjectionHead
from micle_tf.data.targets import Targets
from micle_tf.errors import BadInput
from micle_tf.evaluation import classifier as classifiers
from micle_tf.evaluation.linear_probe import linear_head
from micle_tf.models import factory
from micle_tf.training.checkpoints import Checkpoints

SMALL = dict(
    image_size=16, resnet_depth=10, width_multiplier=0.125, num_proj_layers=2, proj_out_dim=6
)
CLASSES, FINDINGS = Targets(("a", "b", "c"), False), Targets(("e", "f"), True)
IMAGES = np.random.default_rng(0).random((3, 16, 16, 3), np.float32)


def randomised(models, seed=0):
    """Weights drawn anew, variances above zero, so that no two models agree by chance."""
    rng = np.random.default_rng(seed)
    for model in models.values():
        for weight in model.weights:
            if weight.path.endswith(("gamma", "variance")):
                weight.assign(rng.uniform(0.5, 1.5, weight.shape))
            else:
                weight.assign(weight + rng.normal(0, 0.1, weight.shape))
    return models


def write_run(path, mode, targets, models, step=7, **changes):
    """A run directory of a mode with these models in it; returns its path."""
    path.mkdir()
    config = Config.of_mode(mode, **SMALL, **changes)
    facts = {"data": "derm_cases/synthetic"}
    if targets:
        facts["targets"] = dataclasses.asdict(targets)
    (path / "config.json").write_text(json.dumps(json.loads(config.to_json()) | facts))
    Checkpoints(str(path / "checkpoints"), models, 1, "").save(step)
    return str(path)


def encoder_of(**changes):
    return factory.build_encoder(Config(**SMALL, **changes).part(Encoder), SMALL["image_size"])


def models_of(targets, selector):
    config = Config(**SMALL)
    shape, head = config.part(Encoder), config.part(ProjectionHead)
    return factory.classifier_models(
        shape, head, config.image_size, len(targets.names), kept_layers=selector
    )


@pytest.mark.parametrize("selector", [0, 1, 2])
@pytest.mark.parametrize("targets", [CLASSES, FINDINGS])
def test_a_fine_tuned_model_answers_as_before(tmp_path, targets, selector):
    models = randomised(models_of(targets, selector))
    names = ["encoder", "projection_head", "classifier"] if selector else ["encoder", "classifier"]
    assert list(models) == names
    run = write_run(tmp_path / "run", "finetune", targets, models, ft_proj_selector=selector)
    found = classifiers.open_classifier(run)
    logits = np.asarray(factory.applied(models, IMAGES, training=False), np.float64)
    if targets.multilabel:
        expected = 1 / (1 + np.exp(-logits))
    else:
        expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(found.probabilities(IMAGES), expected, atol=1e-5)
    assert expected.shape == (3, len(targets.names)) and 0.01 < np.ptp(expected) < 0.99
    assert (found.names, found.multilabel) == (targets.names, targets.multilabel)
    assert found.weights == f"{run}, step 7 (of an unfinished run)" and found.result is None
    assert found.checkpoint.endswith("ckpt-7") and found.data == "derm_cases/synthetic"


def test_the_head_of_a_linear_evaluation(tmp_path):
    encoder = encoder_of()
    head = linear_head(encoder.output_shape[-1], 2, multilabel=True)
    models = randomised({"encoder": encoder, "classifier": head})
    run = write_run(tmp_path / "run", "linear_eval", FINDINGS, models)
    result = dict.fromkeys(("mode", "dataset", "method", "steps", "intervals")) | {
        "metrics": {"a": 1}
    }
    (tmp_path / "run/result.json").write_text(json.dumps(result))
    found = classifiers.open_classifier(run)
    features = models["encoder"](IMAGES, training=False)
    np.testing.assert_allclose(found.encoder(IMAGES, training=False), features, atol=1e-6)
    np.testing.assert_allclose(
        found.probabilities(IMAGES), models["classifier"](features), atol=1e-6
    )
    assert (found.weights, found.result) == (f"{run}, step 7", result)


def test_a_pretraining_has_no_head(tmp_path):
    models = randomised({"encoder": encoder_of()})
    found = classifiers.open_classifier(write_run(tmp_path / "run", "pretrain", None, models))
    assert (found.head, found.targets, found.names, found.multilabel) == (None, None, (), False)
    np.testing.assert_allclose(
        found.encoder(IMAGES, training=False), models["encoder"](IMAGES, training=False), atol=1e-6
    )


def test_arithmetic_is_that_of_the_run(tmp_path):
    keras.config.set_dtype_policy("float64")
    keras.config.set_floatx("float64")
    models = randomised({"encoder": encoder_of()})
    keras.config.set_dtype_policy("float32")
    keras.config.set_floatx("float32")
    run = write_run(tmp_path / "run", "pretrain", None, models, precision="float64")
    found = classifiers.open_classifier(run)
    assert {weight.dtype for weight in found.encoder.weights} == {"float64"}


def test_runs_that_hold_no_such_model(tmp_path):
    models = {"encoder": encoder_of()}
    evaluated = write_run(tmp_path / "a", "evaluate", None, models)
    with pytest.raises(BadInput) as caught:
        classifiers.open_classifier(evaluated)
    assert str(caught.value) == f"--checkpoint={evaluated}: a run of --mode=evaluate holds no model"
    for number, targets in enumerate((None, {"names": ["a"]}, [1])):
        run = write_run(tmp_path / str(number), "finetune", None, models)
        stated = json.loads((tmp_path / str(number) / "config.json").read_text())
        (tmp_path / str(number) / "config.json").write_text(
            json.dumps(stated | {"targets": targets})
        )
        with pytest.raises(BadInput) as caught:
            classifiers.open_classifier(run)
        assert str(caught.value) == f"--checkpoint={run}: its config.json is damaged (targets)"


def test_no_more_layers_than_a_projection_head_has():
    with pytest.raises(BadInput) as caught:
        models_of(CLASSES, 3)
    assert str(caught.value) == "--ft_proj_selector=3: the projection head has 2 layers"
