"""Steps that several modes take."""

import types

import pytest
import tensorflow as tf

from micle_tf.cli import Stated
from micle_tf.cluster import Cluster
from micle_tf.config import Config
from micle_tf.data.targets import Targets
from micle_tf.errors import BadInput
from micle_tf.modes import opening
from micle_tf.training import memory, state
from micle_tf.training.workers import Workers


def test_a_plan_is_made_on_one_machine():
    with pytest.raises(BadInput, match=r"^--dry_run: a plan is made on one machine; without TF_C"):
        opening.join_devices(Config(dry_run=True, strategy="multi_worker"), None)


def test_a_step_that_cannot_be_compiled_is_refused_before_data_is_prepared():
    config = Config(jit_compile=True, virtual_devices=2)
    with pytest.raises(BadInput, match=r"^--jit_compile: compiles the step of one device, and the"):
        opening.join_devices(config, None)
    assert opening.join_devices(config.replace(virtual_devices=1), None)[2].jit_compile


@pytest.mark.parametrize(
    "stated, expected",
    [
        (None, 96),
        (Stated(frozenset(), frozenset({"train_batch_size"})), 96),
        (Stated(frozenset(), frozenset({"seed"})), 60),
    ],
)
def test_a_batch_that_somebody_stated_stays(stated, expected):
    config = Config(train_batch_size=96)
    found = opening.fit_batch(config, stated, 61, 4, least=2)
    assert found == config.replace(train_batch_size=expected)


@pytest.mark.parametrize("compiled, end", [(False, ""), (True, ", steps compiled by XLA")])
def test_what_is_said_of_devices(compiled, end, capsys, monkeypatch):
    for module, name in ((opening, "say_models"), (memory, "say")):
        monkeypatch.setattr(module, name, lambda *_, **__: True)
    schedule, strategy = types.SimpleNamespace(total_steps=1), tf.distribute.get_strategy()
    config = Config(jit_compile=compiled)
    workers = Workers(strategy, Cluster())
    assert opening.say_training(config, ({}, None, schedule), strategy, workers, pairs=True)
    said = "devices: one device (CPU), fused batch norm, float32"
    assert capsys.readouterr().out == f"{said}{end}\n"


@pytest.mark.parametrize("preset", ["laptop", "paper"])
def test_what_is_said_of_models(capsys, preset):
    shape = types.SimpleNamespace(output_shape=(None, 64), count_params=lambda: 250_000)
    head = types.SimpleNamespace(output_shape=(None, 7))
    config = Config(resnet_depth=10, width_multiplier=0.125, image_size=16, preset=preset)
    opening.say_models(config, {"encoder": shape, "projection_head": head})
    opening.say_models(
        config.replace(ft_proj_selector=1),
        {"encoder": shape, "projection_head": head, "classifier": head},
    )
    text = "model: ResNet-10 x0.125 on 16 px, 0.2 M parameters, 64 features; "
    end = " (preset laptop)" if preset == "laptop" else ""
    assert capsys.readouterr().out.splitlines() == [
        f"{text}projection head of 2 layers to 128{end}",
        f"{text}7 outputs, on layer 1 of the projection head{end}",
    ]


def test_a_claimed_run_is_new_or_was_finished(tmp_path):
    path = str(tmp_path / "run")
    run = state.RunDirectory(path, Config(), {"data": "d"})
    workers = Workers(tf.distribute.get_strategy(), Cluster())
    claimed = lambda: opening.claimed_by_all(run, workers, Config())
    with claimed() as was_finished:
        assert not was_finished and (tmp_path / "run/config.json").exists()
        run.finish(
            mode="pretrain", dataset="d", method="simclr", steps=1, seconds=1.0, metrics={},
            intervals={},
        )  # fmt: skip
    with claimed() as was_finished:
        assert was_finished


@pytest.mark.parametrize(
    "asked, twice",
    [
        ({"operating_points": "sensitivity@specificity=0.9"}, "m@specificity=0.9"),
        ({"prevalence": "0.1"}, "m@prevalence=0.1"),
        ({"prevalence": "m:0.1"}, "m@prevalence=0.1"),
        ({"operating_points": "sensitivity@specificity=0.8", "prevalence": "0.2"}, None),
    ],
)
def test_a_class_that_is_called_as_what_is_asked_of_another(asked, twice):
    targets = Targets(("m", "m@specificity=0.9", "m@prevalence=0.1"), False)
    reader = types.SimpleNamespace(index=types.SimpleNamespace(attributes=None))
    split = types.SimpleNamespace(reader=reader)
    config = Config(mode="evaluate", **asked)
    if twice is None:
        opening.check_questions(config, targets, split)
        return
    with pytest.raises(BadInput, match=f"cannot be told from what there is of {twice}, which is"):
        opening.check_questions(config, targets, split)
