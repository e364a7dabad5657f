"""Exports of tiny models: what each signature answers, who can load them, what is refused."""

import json
import os
import pathlib
import subprocess
import sys
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from micle_tf import export as exports
from micle_tf.config import Config
from micle_tf.data.decode import decode, evaluation_view
from micle_tf.errors import BadInput, Stopped
from micle_tf.evaluation.metrics import case_probabilities
from micle_tf.models import resnet_encoder
from micle_tf.training.strategy import set_precision
from tests.pictures import jpeg, png

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("whole_networks")]

ROOT = pathlib.Path(__file__).parent.parent
NAMES = ("naevus", "mélanome", "other")
PHOTOS = [jpeg(50, 61, seed=1), png(30, 90, seed=2), png(44, 44, seed=3, channels=1), jpeg(97, 40)]


def classifier_of(size=40, activation="softmax", precision="float32", **architecture):
    """A tiny `Classifier` whose every weight matters; without an activation, without a head."""
    set_precision(precision)
    keras.utils.set_random_seed(7)
    architecture = {"depth": 10, "width_multiplier": 1 / 16} | architecture
    encoder = resnet_encoder(input_shape=(size, size, 3), **architecture)
    rng = np.random.default_rng(0)
    for weight in encoder.weights:
        if len(weight.shape) == 1:  # batch norm starts with branches that are switched off
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    head = None
    if activation:
        features = keras.Input(encoder.output_shape[1:])
        spread = keras.initializers.RandomNormal(stddev=0.5, seed=1)
        outputs = keras.layers.Dense(3, activation, kernel_initializer=spread, dtype="float32")
        head = keras.Model(features, outputs(features))
    set_precision("float32")
    return types.SimpleNamespace(
        run="/home/anna/runs/a",
        image_size=size,
        precision=precision,
        config=Config.of_mode(
            "finetune" if head else "pretrain", image_size=size, precision=precision
        ),
        weights="/home/anna/runs/a, step 500",
        encoder=encoder,
        head=head,
        names=NAMES if head else (),
        multilabel=activation == "sigmoid",
        result=None,
        data="derm_cases/manifest-0a1b2c3d4e5f",
    )


def answers(classifier, views):
    """(features, probabilities) of the Keras models."""
    features = np.asarray(keras.ops.cast(classifier.encoder(views, training=False), "float32"))
    if classifier.head is None:
        return features, None
    return features, np.asarray(classifier.head(features, training=False))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    classifier = classifier_of()
    path = exports.write_export(classifier, str(folder), "skin", 3, {}).saved_model
    return types.SimpleNamespace(
        classifier=classifier,
        folder=folder,
        path=path,
        signatures=tf.saved_model.load(path).signatures,
    )


@pytest.fixture(scope="module")
def selective(tmp_path_factory):
    """An encoder without a head, with selective kernels and the stem of small images."""
    folder = tmp_path_factory.mktemp("selective")
    classifier = classifier_of(32, None, depth=14, sk_ratio=0.0625)
    exports.write_export(classifier, str(folder), "sk", 1, {})
    return types.SimpleNamespace(classifier=classifier, folder=folder)


def test_layout(exported):
    files = {str(p.relative_to(exported.folder)) for p in exported.folder.rglob("*") if p.is_file()}
    model = {"saved_model.pb", "fingerprint.pb", "variables/variables.index"}
    model.add("variables/variables.data-00000-of-00001")
    assert files == {"MODEL_CARD.md", "skin.keras"} | {f"skin/3/{name}" for name in model}
    assert exported.path == str(exported.folder / "skin/3")
    assert (exported.folder / "MODEL_CARD.md").read_text().startswith("# skin, version 3\n")
    assert {p.name for p in exported.folder.iterdir()} == {"skin", "skin.keras", "MODEL_CARD.md"}


def test_signatures_of_bytes(exported):
    features, probabilities = answers(
        exported.classifier, tf.stack([evaluation_view(photo, 40) for photo in PHOTOS])
    )
    assert np.ptp(probabilities, axis=0).max() > 0.01  # the photos can be told apart
    content = tf.constant(PHOTOS)
    answer = exported.signatures["serving_default"](image_bytes=content)
    assert set(answer) == {"probabilities", "class_names"}
    np.testing.assert_allclose(answer["probabilities"], probabilities, atol=1e-5)
    assert answer["class_names"].numpy().tolist() == [[name.encode() for name in NAMES]] * 4
    embedded = exported.signatures["embed"](image_bytes=content)
    assert set(embedded) == {"features"}
    np.testing.assert_allclose(embedded["features"], features, atol=1e-5, rtol=1e-5)
    case = exported.signatures["case"](image_bytes=content)
    wanted, _ = case_probabilities(probabilities, np.zeros(4, int))
    np.testing.assert_allclose(case["probabilities"], wanted, atol=1e-5)
    assert case["class_names"].shape == (1, 3)


def test_signatures_of_pixels(exported):
    pixels = tf.stack([decode(png(53, 71, seed=seed)) for seed in range(3)])
    views = tf.stack([evaluation_view(png(53, 71, seed=seed), 40) for seed in range(3)])
    _, probabilities = answers(exported.classifier, views)
    found = exported.signatures["images_uint8"](images=pixels)
    np.testing.assert_allclose(found["probabilities"], probabilities, atol=1e-5)
    assert found["class_names"].shape == (3, 3)
    found = exported.signatures["images"](images=tf.cast(pixels, tf.float32) / 255)
    np.testing.assert_allclose(found["probabilities"], probabilities, atol=1e-5)
    # One signature per kind: nothing but pixels [n, h, w, 3] goes in.
    shapes = {
        name: [tuple(spec.shape) for spec in signature.structured_input_signature[1].values()]
        for name, signature in exported.signatures.items()
    }
    assert shapes["images"] == shapes["images_uint8"] == [(None, None, None, 3)]
    assert shapes["serving_default"] == shapes["case"] == shapes["embed"] == [(None,)]


@pytest.mark.parametrize("size", [32, 40])
@pytest.mark.parametrize("shape", [(1, 1), (1, 70), (45, 33), (64, 64), (40, 40)])
def test_views_of_pixels_are_those_of_evaluation(size, shape):
    content = png(*shape, seed=5)
    pixels, wanted = decode(content)[None], evaluation_view(content, size)[None]
    np.testing.assert_array_equal(exports.view_of_pixels(pixels, size), wanted)
    floats = tf.cast(pixels, tf.float32) / 255
    np.testing.assert_allclose(exports.view_of_floats(floats, size), wanted, atol=1e-6)


@pytest.mark.parametrize("value", [-0.01, 1.01, 255.0, np.nan])
def test_floats_of_another_range_fail(exported, value):
    images = np.full((2, 8, 8, 3), 0.5, np.float32)
    images[0, 0, 0] = 0, 1, 1  # the bounds are in
    good = exported.signatures["images"](images=tf.constant(images))
    assert good["probabilities"].shape == (2, 3)
    images[1, 7, 7, 2] = value
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[0, 1\] expected.*images_uint8"):
        exported.signatures["images"](images=tf.constant(images))


def test_requests_without_images_and_without_pictures_fail(exported):
    for name in ("serving_default", "case", "embed"):
        with pytest.raises(tf.errors.InvalidArgumentError, match="at least one image"):
            exported.signatures[name](image_bytes=tf.constant([], tf.string))
    with pytest.raises(tf.errors.InvalidArgumentError):
        exported.signatures["case"](image_bytes=tf.constant([PHOTOS[0], b"no picture"]))


def test_encoder_without_a_head(selective):
    signatures = tf.saved_model.load(str(selective.folder / "sk/1")).signatures
    views = tf.stack([evaluation_view(photo, 32) for photo in PHOTOS])
    features, _ = answers(selective.classifier, views)
    content = tf.constant(PHOTOS)
    for name in ("serving_default", "embed"):
        found = signatures[name](image_bytes=content)
        assert set(found) == {"features"}
        np.testing.assert_allclose(found["features"], features, rtol=1e-5, atol=1e-5)
    case = signatures["case"](image_bytes=content)["features"]
    np.testing.assert_allclose(case, features.mean(0, keepdims=True), rtol=1e-5, atol=1e-5)
    floats = signatures["images"](images=views)["features"]  # 32 px: no crop, no change of size
    np.testing.assert_allclose(floats, features, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("precision", ["float64", "mixed_bfloat16"])
def test_findings_in_an_object_store(precision):
    classifier = classifier_of(32, "sigmoid", precision)
    folder = f"ram://export-{precision}"
    path = exports.write_export(classifier, folder, "chest", 1, {}).saved_model
    assert set(tf.io.gfile.listdir(folder)) == {"chest", "chest.keras", "MODEL_CARD.md"}
    found = tf.saved_model.load(path).signatures["serving_default"](image_bytes=PHOTOS)
    views = tf.stack([evaluation_view(photo, 32) for photo in PHOTOS])
    wanted = tf.function(lambda x: answers_in_graph(classifier, x))(views).numpy()
    np.testing.assert_allclose(found["probabilities"], wanted, atol=1e-5)
    assert (
        np.abs(wanted.sum(axis=1) - 1).min() > 0.01 and found["probabilities"].dtype == tf.float32
    )


def answers_in_graph(classifier, views):
    """Probabilities; half precision rounds otherwise when ops run one by one."""
    features = tf.cast(classifier.encoder(views, training=False), tf.float32)
    return tf.cast(classifier.head(features, training=False), tf.float32)


# Runs where neither micle_tf nor, for the SavedModel, Keras can be imported.
_FRESH = """
import json, sys
sys.modules["micle_tf"] = None
keras, sys.modules["keras"] = sys.modules.pop("keras", None), None
import numpy as np, tensorflow as tf
from tensorflow.python.tools import saved_model_cli
path, encoder, selective, inputs, root = sys.argv[1:]
parser, answers = saved_model_cli.create_parser(), {}
for name in ("serving_default", "embed", "case", "images", "images_uint8"):
    key = "images" if name.startswith("images") else "image_bytes"
    arguments = f"run --dir {path} --tag_set serve --signature_def {name}"
    arguments += f" --inputs {key}={inputs}/{name}.npy --outdir {inputs}/{name} --overwrite"
    parser.parse_args(arguments.split()).func()

loaded = tf.saved_model.load(path)
moving = [v for v in loaded.variables if not v.trainable]
before = [[v.numpy() for v in vs] for vs in (loaded.trainable_variables, moving)]
views = tf.constant(np.load(f"{inputs}/views.npy"))
labels = tf.constant([0, 1, 0, 1])
kernel = tf.Variable(tf.zeros([loaded.features(views).shape[1], 2]))
variables, losses = [kernel, *loaded.trainable_variables], []
for step in range(10):
    with tf.GradientTape() as tape:
        logits = loaded.features(views, training=True) @ kernel
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
    gradients = tape.gradient(loss, variables)
    for variable, gradient in zip(variables, gradients):
        variable.assign_sub(0.02 * gradient)
    losses.append(float(loss))
after = [[v.numpy() for v in vs] for vs in (loaded.trainable_variables, moving)]
changed = [[bool((a != b).any()) for a, b in zip(*pair)] for pair in zip(before, after)]

del sys.modules["keras"]
import keras
assert sys.modules["micle_tf"] is None
plain = keras.saving.load_model(encoder)(views, training=False).numpy().tolist()
try:
    keras.saving.load_model(selective)
    without_import = True
except Exception:
    without_import = False
del sys.modules["micle_tf"]
sys.path.insert(0, root)
import micle_tf.models.resnet
others = tf.image.resize(views, [32, 32])
sk = keras.saving.load_model(selective)(others, training=False).numpy().tolist()
print("\\n" + json.dumps(dict(
    losses=losses, changed=changed, plain=plain, sk=sk, without_import=without_import)))
"""


def test_a_fresh_process_with_tensorflow_alone(exported, selective, tmp_path):
    inputs = {name: np.array(PHOTOS) for name in ("serving_default", "embed", "case")}
    pixels = np.random.default_rng(0).integers(0, 256, (2, 50, 60, 3), np.uint8)
    inputs |= {"images_uint8": pixels, "images": pixels.astype(np.float32) / 255}
    views = np.stack([evaluation_view(photo, 40) for photo in PHOTOS])
    for name, value in {**inputs, "views": views}.items():
        np.save(tmp_path / f"{name}.npy", value)
    files = exported.path, exported.folder / "skin.keras", selective.folder / "sk.keras"
    done = subprocess.run(
        [sys.executable, "-c", _FRESH, *files, tmp_path, ROOT],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]

    # saved_model_cli, every signature.
    for name, value in inputs.items():
        key = "images" if name.startswith("images") else "image_bytes"
        for output, wanted in exported.signatures[name](**{key: tf.constant(value)}).items():
            found = np.load(tmp_path / name / f"{output}.npy", allow_pickle=True)
            if output == "class_names":
                assert found.tolist() == wanted.numpy().tolist()
            else:
                np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)

    # Fine-tuning through it: all weights move, batch norm's statistics too.
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["losses"][0] == pytest.approx(np.log(2), abs=1e-6)
    assert report["losses"][-1] < 0.8 * report["losses"][0]
    trained, moved = report["changed"]
    encoder = exported.classifier.encoder
    assert len(trained) == len(encoder.trainable_weights) and all(trained)
    assert len(moved) == len(encoder.non_trainable_weights) and all(moved)

    # The .keras files.
    wanted, _ = answers(exported.classifier, views)
    np.testing.assert_allclose(report["plain"], wanted, rtol=1e-5, atol=1e-5)
    wanted, _ = answers(selective.classifier, tf.image.resize(views, [32, 32]))
    np.testing.assert_allclose(report["sk"], wanted, rtol=1e-5, atol=1e-5)
    assert not report["without_import"]  # selective kernels need the one import


def test_a_version_is_not_overwritten(exported):
    state = lambda: {p: p.stat().st_mtime_ns for p in exported.folder.rglob("*")}
    before = state()
    with pytest.raises(BadInput) as failure:
        exports.write_export(exported.classifier, str(exported.folder), "skin", 3, {})
    assert str(failure.value) == (
        f"--export_version=3: {exported.path} is there already; choose another"
    )
    assert state() == before


def test_exports_into_one_folder_leave_each_other_alone(tmp_path):
    folder, written = str(tmp_path / "out"), {}
    for name, version, encoder, card in (
        ("skin", 1, "skin.keras", "MODEL_CARD.md"),
        ("skin", 2, "skin-2.keras", "MODEL_CARD-skin-2.md"),
        ("mole", 2, "mole.keras", "MODEL_CARD-mole-2.md"),
    ):
        classifier = classifier_of(32)
        classifier.encoder.weights[0].assign(classifier.encoder.weights[0] * (len(written) + 1))
        found = exports.write_export(classifier, folder, name, version, {})
        places = (f"{name}/{version}", encoder, card)
        assert found == tuple(os.path.join(folder, place) for place in places)
        written[found] = (f"# {name}, version {version}", classifier.encoder.weights[0].numpy())
    for (_, encoder, card), (title, kernel) in written.items():
        assert pathlib.Path(card).read_text().startswith(f"{title}\n")
        kept = keras.saving.load_model(encoder).weights[0].numpy()
        np.testing.assert_array_equal(kept, kernel)
    files = {place.name for place in pathlib.Path(folder).iterdir()}
    assert files == {"skin", "mole"} | {
        os.path.basename(path) for places in written for path in places[1:]
    }
    # Where the longer name is taken too, nothing is overwritten either.
    (tmp_path / "out/MODEL_CARD-skin-2-1.md").write_text("mine")
    with pytest.raises(BadInput) as failure:
        exports.write_export(classifier, folder, "skin-2", 1, {})
    assert str(failure.value) == (
        f"--export_version=1: {folder}/MODEL_CARD-skin-2-1.md is there already; choose another"
    )
    assert not (tmp_path / "out/skin-2").exists()


@pytest.mark.parametrize("name", ["MODEL_CARD.md", "skin.keras", "a.MD", "b.Keras"])
def test_names_of_the_files_beside_it_are_refused(tmp_path, name):
    with pytest.raises(BadInput) as failure:
        exports.write_export(classifier_of(32), str(tmp_path / "out"), name, 1, {})
    assert str(failure.value) == (
        f"--export_name={name}: .md and .keras are endings of the files beside it"
    )
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "skin").write_text("mine")
    with pytest.raises(BadInput) as failure:
        exports.write_export(classifier_of(32), str(tmp_path), "skin", 1, {})
    assert str(failure.value) == f"--export_name=skin: {tmp_path}/skin is a file; choose another"
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_a_card_that_cannot_be_written_leaves_nothing(tmp_path):
    facts = {"splits": {"train": {}}}  # without counts
    with pytest.raises(KeyError):
        exports.write_export(classifier_of(32), str(tmp_path / "out"), "skin", 1, facts)
    assert not list(tmp_path.iterdir())


def test_an_export_that_answers_otherwise_is_not_kept(tmp_path, monkeypatch):
    classifier = classifier_of(32)
    save = tf.saved_model.save

    def save_other(servable, path, signatures):
        kernel = classifier.head.weights[0]
        kept = kernel.numpy()
        kernel.assign(kept + np.arange(3) / 1000)
        save(servable, path, signatures)
        kernel.assign(kept)

    monkeypatch.setattr(tf.saved_model, "save", save_other)
    with pytest.raises(Stopped, match="off by"):
        exports.write_export(classifier, str(tmp_path), "skin", 1, {})
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_bad_input(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BadInput, match=r"--model_dir=.*file"):
        exports.write_export(classifier_of(32), str(tmp_path / "file/in"), "m", 1, {})
