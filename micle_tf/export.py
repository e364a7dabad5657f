"""A run's model for others: a SavedModel, a .keras file and a model card.

The SavedModel needs TensorFlow alone, and stands in TensorFlow Serving's layout:

    FOLDER/NAME/VERSION/    SavedModel, with decoding and cropping inside
    FOLDER/NAME.keras       the encoder, for Keras users to fine-tune
    FOLDER/MODEL_CARD.md    what it is, what it was trained on, how good it is

Where an earlier export into the folder has one of the two files, the later one's is called
NAME-VERSION.keras or MODEL_CARD-NAME-VERSION.md: no export touches what another one left.
"""

import os
import tempfile
import typing

import numpy as np
import tensorflow as tf

from data_builders.images import ImageOptions
from micle_tf import served_images
from micle_tf.data.decode import evaluation_view, view_of_pixels
from micle_tf.errors import BadInput, Stopped
from micle_tf.files import reason_of, write_text
from micle_tf.model_card import model_card

_DECODED_AT_ONCE = 16  # images of a request, over the cores
# How far the export may be from the Keras models; the features of half precision carry 3 digits.
_TOLERANCE = {"float32": 1e-5, "float64": 1e-5, "mixed_bfloat16": 2e-2}


class Exported(typing.NamedTuple):
    """The paths of what an export writes."""

    saved_model: str
    encoder: str
    model_card: str


def write_export(
    classifier, folder, name, version, facts, *, max_pixels=ImageOptions.max_pixels, as_stored=False
):
    """Writes a SavedModel, and an encoder and a model card beside it; see above for the names.

    In a local folder the SavedModel gets its place last and in one go, when everything
    else is there and it was loaded back and compared with the Keras models. Object stores
    cannot rename folders: there the model card, written last, says that all is whole.

    Args:
      classifier: `Classifier`; without a head the signatures give features.
      folder: local, or a path of `tf.io.gfile`; made if it is not there.
      name, version: string and positive integer.
      facts: see `model_card`.
      max_pixels: what the images of one request may have together.
      as_stored: photos are not turned as their EXIF says, for a model that learned from such.

    Returns:
      `Exported`.

    Raises:
      BadInput: the name is one of a file, the version is there already, or the folder cannot
        be made. Nothing is written then.
      Stopped: the SavedModel, loaded back, does not give what the Keras models give.
    """
    exported = _places(folder, name, version)
    facts = facts | {"max_pixels": max_pixels, "as_stored": as_stored}
    card = model_card(classifier, facts, name, version)
    try:
        tf.io.gfile.makedirs(folder)
    except tf.errors.OpError as error:
        raise BadInput(f"--model_dir={folder}: cannot be written: {reason_of(error)}") from None
    remote = "://" in folder
    with tempfile.TemporaryDirectory(
        prefix="incomplete-", dir=None if remote else folder
    ) as unfinished:
        saved = exported.saved_model if remote else os.path.join(unfinished, str(version))
        servable, signatures = _servable(classifier, max_pixels, as_stored)
        tf.saved_model.save(servable, saved, signatures)
        _check_saved(saved, classifier)
        encoder_file = os.path.join(unfinished, f"{name}.keras")
        classifier.encoder.save(encoder_file)
        if remote:
            tf.io.gfile.copy(encoder_file, exported.encoder)
        else:
            os.makedirs(os.path.join(folder, name), exist_ok=True)
            os.rename(encoder_file, exported.encoder)
        write_text(exported.model_card, card)
        if not remote:
            os.rename(saved, exported.saved_model)
    return exported


def _places(folder, name, version):
    """`Exported`, of paths where nothing is yet; raises BadInput if there are none."""
    if name.lower().endswith((".md", ".keras")):
        raise BadInput(f"--export_name={name}: .md and .keras are endings of the files beside it")
    models = os.path.join(folder, name)
    if tf.io.gfile.exists(models) and not tf.io.gfile.isdir(models):
        raise BadInput(f"--export_name={name}: {models} is a file; choose another")
    saved_model = os.path.join(models, str(version))
    if tf.io.gfile.exists(saved_model):
        raise BadInput(
            f"--export_version={version}: {saved_model} is there already; choose another"
        )
    beside = []
    for short, long in (
        (f"{name}.keras", f"{name}-{version}.keras"),
        ("MODEL_CARD.md", f"MODEL_CARD-{name}-{version}.md"),
    ):
        path = os.path.join(folder, short)
        if tf.io.gfile.exists(path):
            path = os.path.join(folder, long)
        if tf.io.gfile.exists(path):
            raise BadInput(f"--export_version={version}: {path} is there already; choose another")
        beside.append(path)
    return Exported(saved_model, *beside)


# ---------------------------------------------------------------- the SavedModel


def _servable(classifier, max_pixels, as_stored):  # noqa: C901 - a signature is a short closure
    """(object to save, {name: signature}).

    The object has, for fine-tuning after `tf.saved_model.load`, `features(images,
    training=False)` from float32 [n, s, s, 3] in [0, 1] to float32 [n, d], and the lists
    `variables` and `trainable_variables` of the encoder; and `max_pixels`.
    """
    encoder, head, size = classifier.encoder, classifier.head, classifier.image_size
    root = tf.train.Checkpoint()  # keeps what is set on it; tf.Module has properties of these names
    root.variables = [weight.value for weight in encoder.weights]
    root.trainable_variables = [weight.value for weight in encoder.trainable_weights]
    root.max_pixels = tf.Variable(max_pixels, trainable=False, dtype=tf.int64)
    root.head_variables = [weight.value for weight in head.weights] if head else []

    @tf.function(autograph=False)
    def features(images, training=False):
        images = tf.cast(images, encoder.inputs[0].dtype)
        return tf.cast(encoder(images, training=training), tf.float32)

    views = tf.TensorSpec([None, size, size, 3], tf.float32, name="images")
    for training in (False, True):
        features.get_concrete_function(views, training=training)
    root.features = features

    def embedded(views):
        # Without it the failure speaks of the shapes inside the network.
        tf.debugging.assert_positive(tf.shape(views)[0], "at least one image expected")
        return root.features(views)

    def predicted(views):
        """The outputs that are one row per image."""
        embeddings = embedded(views)
        if head is None:
            return {"features": embeddings}
        return {"probabilities": tf.cast(head(embeddings, training=False), tf.float32)}

    def finished(outputs):
        """With the names beside each row, since servers want equal first dimensions."""
        if head is None:
            return outputs
        rows = tf.shape(outputs["probabilities"])[0]
        return outputs | {"class_names": tf.tile([list(classifier.names)], [rows, 1])}

    content = tf.TensorSpec([None], tf.string, name="image_bytes")

    # One function for all signatures: reading headers is the largest part of the graph.
    @tf.function(autograph=False, input_signature=[content])
    def decoded(image_bytes):
        image_bytes, orientations = served_images.checked(image_bytes, root.max_pixels)
        if as_stored:
            orientations = tf.ones_like(orientations)
        return tf.map_fn(
            lambda image: evaluation_view(image[0], size, image[1]),
            (image_bytes, orientations),
            parallel_iterations=_DECODED_AT_ONCE,
            fn_output_signature=tf.TensorSpec([size, size, 3], tf.float32),
        )

    def serving_default(image_bytes):
        return finished(predicted(decoded(image_bytes)))

    def images(images):
        return finished(predicted(view_of_floats(images, size)))

    def images_uint8(images):
        return finished(predicted(view_of_pixels(images, size)))

    def embed(image_bytes):
        return {"features": embedded(decoded(image_bytes))}

    def case(image_bytes):
        photos = predicted(decoded(image_bytes))
        return finished({k: tf.reduce_mean(v, axis=0, keepdims=True) for k, v in photos.items()})

    floats = tf.TensorSpec([None, None, None, 3], tf.float32, name="images")
    pixels = tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")
    inputs = {serving_default: content, images: floats, images_uint8: pixels}
    inputs |= {embed: content, case: content}
    return root, {
        function.__name__: tf.function(function, autograph=False).get_concrete_function(spec)
        for function, spec in inputs.items()
    }


def view_of_floats(images, size):
    """`view_of_pixels` of [n, h, w, 3] float32 in [0, 1]; another range fails, nan too."""
    tf.debugging.Assert(
        tf.reduce_all((images >= 0) & (images <= 1)),
        [
            "images: floats in [0, 1] expected; these are between",
            tf.reduce_min(images),
            tf.reduce_max(images),
            "(for pixels of 0 to 255 there is the signature images_uint8)",
        ],
    )
    return view_of_pixels(images * 255, size)


def _check_saved(path, classifier):
    """Loads a SavedModel and compares it with the Keras models on two images of noise."""
    size, tolerance = classifier.image_size, _TOLERANCE[classifier.precision]
    images = np.random.default_rng(0).random((2, size + 5, size + 9, 3), np.float32)

    @tf.function(autograph=False)
    def expected(images):
        views = tf.cast(view_of_floats(images, size), classifier.encoder.inputs[0].dtype)
        features = classifier.encoder(views, training=False)
        return features if classifier.head is None else classifier.head(features, training=False)

    with tf.device("CPU:0"):  # the arithmetic that can be repeated
        loaded = tf.saved_model.load(path).signatures["images"](images=tf.constant(images))
        wanted = tf.cast(expected(images), tf.float32).numpy()
    outputs = loaded["features" if classifier.head is None else "probabilities"].numpy()
    off = np.abs(outputs - wanted).max() / max(1.0, np.abs(wanted).max())
    if not off <= tolerance:  # nan too
        raise Stopped(f"the exported model is off by {off:.2g} from {classifier.weights}: {path}")
