"""Four logical CPUs for distributed tests, Keras's arithmetic put back after each test."""

import gc
import os
import pathlib
import shutil

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

import keras
import pytest
import tensorflow as tf

from micle_tf.config import Config
from micle_tf.data import cases, pipeline
from micle_tf.evaluation import linear_probe
from micle_tf.models import resnet
from micle_tf.modes import linear_eval
from micle_tf.training import contrastive, picture
from tests import child_processes, made_small, warm_processes
from tests.data_builders.trees_derm import write_tree
from tests.generated_cases import write_cases

DRAW, SHOW_PAIRS = picture.draw, contrastive.show_pairs

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 4
)
gc.freeze()  # what was imported stays; to look through it takes half a second each time
gc.set_threshold(50_000, 20, 50)  # networks are traced from many small objects


WHOLE_COMMANDS = [pathlib.Path(__file__).parent / name for name in ("modes", "scenarios")]


@pytest.hookimpl(tryfirst=True)  # before marks choose
def pytest_collection_modifyitems(items):
    """Tests of whole commands are slow together, if not each of them."""
    for item in items:
        if item.path.parent in WHOLE_COMMANDS:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def keras_defaults():
    """Puts back the global dtype policy that a test may have set."""
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


@pytest.fixture(autouse=True, scope="session")
def pictures_that_nobody_looks_at():
    """The pictures of a run, half of the time of a short one, where no test looks at them.

    Those that do have the mark `pictures`, or the fixture `drawn` for runs that a module shares;
    processes of their own draw as ever.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(picture, "draw", lambda path: None)
        patch.setattr(contrastive, "show_pairs", lambda run, dataset: None)
        yield patch


@pytest.fixture(autouse=True)
def pictures_that_are_looked_at(request, monkeypatch):
    if request.node.get_closest_marker("pictures"):
        monkeypatch.setattr(picture, "draw", DRAW)
        monkeypatch.setattr(contrastive, "show_pairs", SHOW_PAIRS)


@pytest.fixture(scope="module")
def drawn():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(picture, "draw", DRAW)
        patch.setattr(contrastive, "show_pairs", SHOW_PAIRS)
        yield


@pytest.fixture(autouse=True, scope="session")
def what_nobody_looks_at_is_small():
    """Networks, resamples and linear heads, of this process; other processes are as ever.

    A test of networks or of weights in the layouts of others has the fixture `whole_networks`, and
    one that compares a head with the optimum `whole_heads`; those of `train_linear_head` itself
    take all steps as ever. One that compares intervals says how many resamples it wants.
    """
    with pytest.MonkeyPatch.context() as patch:
        made_small.networks(patch)
        made_small.resamples(patch)
        made_small.heads(patch)
        yield


@pytest.fixture(scope="module")
def whole_heads():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linear_eval, "train_linear_head", linear_probe.train_linear_head)
        yield


@pytest.fixture(scope="module")
def whole_networks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(resnet.DEPTHS, 10, (resnet.BASIC, (1, 1, 1, 1)))
        yield


@pytest.fixture
def traced_anew():
    """For what is done to an image, of which a test replaces parts."""
    pipeline.of_one.cache_clear()
    yield
    pipeline.of_one.cache_clear()


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """So that a command which writes by mistake does so where it is seen."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def small_set(tmp_path_factory):
    """A folder with `photos`, those of `write_cases`, and prepared from them `data`; once in a run.

    It is only read, which is looked at in the end; who writes beside it takes a copy.
    """
    folder = tmp_path_factory.mktemp("small_set")
    manifest = write_cases(folder / "photos")
    cases.open_cases(Config(manifest=str(manifest), data_dir=str(folder / "data")))
    content = lambda: {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    before = content()
    yield folder
    assert content() == before, "a test has written to the set that all share"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """HAM10000 in small as its owners ship it, and its counts."""
    folder = tmp_path_factory.mktemp("shipped")
    return folder, write_tree(folder, "ham10000", num_cases=16)


@pytest.fixture
def ham(shipped, tmp_path, monkeypatch):
    """A copy of it to be spoilt, in "files" of the current folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(shipped[0], tmp_path / "files")
    return tmp_path / "files"


@pytest.fixture
def child():
    """A function from Python source to a process that runs it, and is gone after the test."""
    started = []

    def start(source):
        started.append(child_processes.start(source))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def warm():
    """A server of processes that begin with TensorFlow loaded, by its `start`."""
    with warm_processes.Server() as server:
        yield server


@pytest.fixture
def no_cluster(monkeypatch):
    """As on a machine that is alone."""
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.delenv("SLURM_PROCID", raising=False)
