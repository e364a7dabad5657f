"""Models as their settings say, and what is said of them."""

import numpy as np
import pytest

from micle_tf.config import Encoder, ProjectionHead
from micle_tf.errors import BadInput
from micle_tf.models import factory

SHAPE, HEAD = Encoder(resnet_depth=10, width_multiplier=0.125), ProjectionHead(2, 6)
IMAGES = np.random.default_rng(0).random((2, 16, 16, 3), np.float32)


def test_an_encoder_has_the_shape_of_its_settings():
    encoder = factory.build_encoder(SHAPE, 16)
    assert encoder.input_shape == (None, 16, 16, 3) and encoder.output_shape == (None, 64)
    assert encoder.name == "encoder"
    kernels = [weight.shape for weight in encoder.weights if weight.path.endswith("kernel")]
    assert len(kernels) == 13 and kernels[0] == (3, 3, 3, 8)  # stem, 8 in blocks, 4 shortcuts


def test_a_pretraining_ends_in_its_projection():
    models = factory.contrastive_models(SHAPE, HEAD, 16)
    assert list(models) == ["encoder", "projection_head"]
    embeddings = factory.applied(models, IMAGES, training=False)
    assert embeddings.shape == (2, 6)
    features = models["encoder"](IMAGES, training=False)
    np.testing.assert_array_equal(models["projection_head"](features, training=False), embeddings)


@pytest.mark.parametrize("kept, inputs", [(0, 64), (1, 64), (2, 6)])
def test_a_classifier_stands_on_what_is_kept(kept, inputs):
    models = factory.classifier_models(SHAPE, HEAD, 16, 5, kept_layers=kept)
    names = ["encoder", "projection_head", "classifier"] if kept else ["encoder", "classifier"]
    assert list(models) == names
    assert models["classifier"].weights[0].shape == (inputs, 5)
    assert factory.applied(models, IMAGES, training=False).shape == (2, 5)


def test_no_more_layers_than_there_are():
    with pytest.raises(BadInput) as caught:
        factory.classifier_models(SHAPE, HEAD, 16, 5, kept_layers=3)
    assert str(caught.value) == "--ft_proj_selector=3: the projection head has 2 layers"


def test_what_is_said_of_them():
    text = "ResNet-10 x0.125 on 16 px, 0.1 M parameters, 64 features"
    say = lambda models, kept=0: factory.describe(models, SHAPE, 16, HEAD, kept)
    pretraining = factory.contrastive_models(SHAPE, HEAD, 16)
    assert say(pretraining) == f"{text}; projection head of 2 layers to 6"
    assert say({"encoder": pretraining["encoder"]}) == text
    assert say(factory.classifier_models(SHAPE, HEAD, 16, 5)) == f"{text}; 5 outputs"
    kept = factory.classifier_models(SHAPE, HEAD, 16, 5, kept_layers=1)
    assert say(kept, 1) == f"{text}; 5 outputs, on layer 1 of the projection head"
