"""How much memory is there, in containers too, and what a training takes of it."""

import functools

import keras
import pytest

from micle_tf.config import Devices
from micle_tf.models.heads import projection_head
from micle_tf.models.resnet import resnet_encoder
from micle_tf.training import memory

pytestmark = pytest.mark.usefixtures("whole_networks")

KIB = 1024


def models(depth=10, width=0.5, size=64):
    encoder = resnet_encoder(depth, width, 0.0, 0.0, (size, size, 3))
    head = projection_head(2, 128)
    head.build(encoder.output_shape)
    return {"encoder": encoder, "projection_head": head}


# Largest resident size of a pretraining of four steps, MiB, TensorFlow 2.21, two cores, with and
# without oneDNN's kernels: `--dry_run` of the same flags says what it is elsewhere.
@pytest.mark.parametrize(
    "depth, width, size, pairs, measured",
    [(10, 0.5, 64, 96, 1080), (18, 1, 96, 64, 1735), (50, 1, 96, 32, 2610), (50, 1, 224, 8, 3006),
     (10, 0.5, 64, 16, 864), (50, 1, 224, 24, 5728)],
)  # fmt: skip
def test_the_estimate_is_within_a_quarter_of_what_was_measured(depth, width, size, pairs, measured):
    estimate = memory.of_training(models(depth, width, size), 2 * pairs, pairs=pairs)
    assert estimate / 2**20 == pytest.approx(measured, rel=0.25)


def test_the_estimate_grows_with_what_goes_through_at_once():
    small = models()
    base = memory.of_training(small, 0)
    assert memory.of_training(small, 64) - base == pytest.approx(
        2 * (memory.of_training(small, 32) - base)
    )
    assert memory.of_batch(small, 64, 16, 1, True) < memory.of_batch(small, 64, 0, 1, True)
    keras.config.set_dtype_policy("mixed_bfloat16")
    half = models()
    assert memory.of_training(half, 64) - memory.of_training(half, 0) == pytest.approx(
        (memory.of_training(small, 64) - base) / 2
    )


def write(root, files):
    for path, text in files.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)


MACHINE = {"proc/meminfo": "MemTotal: 900 kB\nMemAvailable:    800 kB\n"}
FILES = "inactive_file 1024\n"


@pytest.mark.parametrize(
    "files, kib",
    [
        ({}, 800),
        # Version 2, in a group of its own, of whose 400 KiB 100 are taken, one by pages of files.
        ({"proc/self/cgroup": "0::/job\n", "sys/fs/cgroup/job/memory.max": str(400 * KIB),
          "sys/fs/cgroup/job/memory.current": str(100 * KIB),
          "sys/fs/cgroup/job/memory.stat": FILES}, 301),
        # A container that sees itself at the top.
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": str(400 * KIB),
          "sys/fs/cgroup/memory.current": str(100 * KIB), "sys/fs/cgroup/memory.stat": FILES}, 301),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n",
          "sys/fs/cgroup/memory.current": "5", "sys/fs/cgroup/memory.stat": FILES}, 800),
        # Version 1.
        ({"proc/self/cgroup": "4:memory:/job\n1:cpu:/\n",
          "sys/fs/cgroup/memory/job/memory.limit_in_bytes": str(200 * KIB),
          "sys/fs/cgroup/memory/job/memory.usage_in_bytes": "0",
          "sys/fs/cgroup/memory/job/memory.stat": FILES}, 200),
        ({"proc/self/cgroup": "4:memory:/\n",
          "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
          "sys/fs/cgroup/memory/memory.usage_in_bytes": "0",
          "sys/fs/cgroup/memory/memory.stat": FILES}, 800),
        ({"proc/self/cgroup": "damaged"}, 800),
        # The limit of a job holds for its steps; what cannot be read takes no part.
        ({"proc/self/cgroup": "0::/slurm/job_1/step_0/task_0\n",
          "sys/fs/cgroup/slurm/job_1/memory.max": str(100 * KIB),
          "sys/fs/cgroup/slurm/job_1/memory.current": str(40 * KIB)}, 60),
        ({"proc/self/cgroup": "0::/job\n", "sys/fs/cgroup/job/memory.max": str(100 * KIB),
          "sys/fs/cgroup/job/memory.current": str(100 * KIB)}, 0),
    ],
)  # fmt: skip
def test_what_is_there(files, kib, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_resident", lambda: 0)
    write(tmp_path, MACHINE | files)
    assert memory.there(tmp_path) == kib * KIB


def test_what_this_process_has_counts_as_there(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_resident", lambda: 50 * KIB)
    write(tmp_path, MACHINE)
    assert memory.there(tmp_path) == 850 * KIB
    assert memory._resident() and memory.used() > 2**27


def test_what_will_not_fit_is_a_warning_with_flags_that_will(monkeypatch, capsys):
    small = models()
    takes = lambda microbatch: memory.of_batch(small, 96, microbatch, 1, True)
    say = functools.partial(
        memory.say, small, 96, microbatch_size=0, devices=Devices(), replicas=1, pairs=True
    )
    monkeypatch.setattr(memory, "there", lambda: takes(0) / 0.95 + 1)
    assert say(smaller_preset=True)
    assert capsys.readouterr().out.startswith("memory: about 1.0 GB of 1.1 GB\n")
    monkeypatch.setattr(memory, "there", lambda: takes(32) / 0.95 + 1)
    assert not say(smaller_preset=True)
    shown = capsys.readouterr().out
    assert shown.startswith("warning: memory: about 1.0 GB of ")
    assert "--microbatch_size=32 takes about 0.9 GB; --preset=laptop is for small machines" in shown
    monkeypatch.setattr(memory, "there", lambda: 1e6)
    assert not say(smaller_preset=False)
    assert "a smaller --image_size or --resnet_depth takes less" in capsys.readouterr().out
    monkeypatch.setattr(memory, "there", lambda: None)
    assert say(smaller_preset=True)
    assert capsys.readouterr().out == "memory: about 1.0 GB\n"
