"""The five commands in the README of google-research/simclr, on small sets in tensorflow_datasets'
layout: only batch, epochs, depth, image size, TPU and folders are others."""

import json
import re

import numpy as np
import pytest
import tensorflow_datasets as tfds

from micle_tf import cli
from micle_tf.training import state

pytestmark = pytest.mark.slow


class _Photos(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Some colours, some noise; named, split and of the size that a subclass says."""

    SIDE, SPLITS, CLASSES, ENCODING = 32, {}, 3, "png"

    def _info(self):
        side = None if self.ENCODING == "jpeg" else self.SIDE
        features = {
            "image": tfds.features.Image(shape=(side, side, 3), encoding_format=self.ENCODING),
            "label": tfds.features.ClassLabel(num_classes=self.CLASSES),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(size) for split, size in self.SPLITS.items()}

    def _generate_examples(self, size):
        rng = np.random.default_rng(size)
        for i in range(size):
            image = rng.integers(0, 90, (self.SIDE, self.SIDE, 3))
            image[..., i % self.CLASSES] += 150
            yield i, {"image": image.astype(np.uint8), "label": i % self.CLASSES}


class Cifar10(_Photos, skip_registration=True):
    VERSION = tfds.core.Version("3.0.2")
    SPLITS = {"train": 40, "test": 12}


class Imagenet2012(_Photos, skip_registration=True):
    VERSION = tfds.core.Version("5.1.0")
    SPLITS, SIDE, ENCODING = {"train": 48, "validation": 12}, 40, "jpeg"


class Imagenet2012Subset(Imagenet2012, skip_registration=True):
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name="1pct", version="5.0.0")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    tfds.disable_progress_bar()
    place = tmp_path_factory.mktemp("sets")
    for kind in (Cifar10, Imagenet2012, Imagenet2012Subset):
        kind(data_dir=str(place), file_format="tfrecord").download_and_prepare(
            file_format="tfrecord"
        )
    return place


# Their words; replaced are batch, epochs, depth, image size, TPU and folders.
PRETRAIN_CIFAR = """--train_mode=pretrain --train_batch_size=8 --train_epochs=1
--learning_rate=1.0 --weight_decay=1e-4 --temperature=0.5
--dataset=cifar10 --image_size=32 --eval_split=test --resnet_depth=10
--use_blur=False --color_jitter_strength=0.5
--model_dir=F/simclr_test --use_tpu=False --data_dir=F"""
LINEAR_CIFAR = """--mode=train_then_eval --train_mode=finetune
--fine_tune_after_block=4 --zero_init_logits_layer=True
--variable_schema=(?!global_step|(?:.*/|^)Momentum|head)
--global_bn=False --optimizer=momentum --learning_rate=0.1 --weight_decay=0.0
--train_epochs=1 --train_batch_size=8 --warmup_epochs=0
--dataset=cifar10 --image_size=32 --eval_split=test --resnet_depth=10
--checkpoint=F/simclr_test --model_dir=F/simclr_test_ft --use_tpu=False --data_dir=F"""
PRETRAIN_IMAGENET = """--train_mode=pretrain
--train_batch_size=8 --train_epochs=1 --temperature=0.1
--learning_rate=0.075 --learning_rate_scaling=sqrt --weight_decay=1e-4
--dataset=imagenet2012 --image_size=48 --eval_split=validation
--data_dir=F --model_dir=F/imagenet
--use_tpu=False --train_summary_steps=0 --resnet_depth=10"""
LINEAR_IMAGENET = """--mode=train_then_eval --train_mode=finetune
--fine_tune_after_block=4 --zero_init_logits_layer=True
--variable_schema=(?!global_step|(?:.*/|^)Momentum|head)
--global_bn=False --optimizer=momentum --learning_rate=0.1 --weight_decay=1e-6
--train_epochs=1 --train_batch_size=8 --warmup_epochs=0
--dataset=imagenet2012 --image_size=48 --eval_split=validation
--data_dir=F --model_dir=F/imagenet_ft --checkpoint=F/imagenet
--use_tpu=False --train_summary_steps=0 --resnet_depth=10"""
ONE_PERCENT = """--mode=train_then_eval --train_mode=finetune
--fine_tune_after_block=-1 --zero_init_logits_layer=True
--variable_schema=(?!global_step|(?:.*/|^)Momentum|head_supervised)
--global_bn=True --optimizer=lars --learning_rate=0.005
--learning_rate_scaling=sqrt --weight_decay=0
--train_epochs=1 --train_batch_size=8 --warmup_epochs=0
--dataset=imagenet2012_subset/1pct --image_size=48 --eval_split=validation
--data_dir=F --model_dir=F/one_percent --checkpoint=F/imagenet
--use_tpu=False --train_summary_steps=0 --resnet_depth=10
--num_proj_layers=3 --ft_proj_selector=1"""


def run(folder, command, *more):
    words = [re.sub(r"=F(?=/|$)", f"={folder}", word) for word in command.split()]
    assert cli.main([*words, *more]) == 0


def settings(folder, name):
    return json.loads((folder / name / "config.json").read_text())


def test_cifar(folder, capsys):
    run(folder, PRETRAIN_CIFAR)
    kept = settings(folder, "simclr_test")
    assert (kept["optimizer"], kept["num_proj_layers"], kept["method"]) == ("lars", 3, "simclr")
    assert (kept["width_multiplier"], kept["learning_rate_scaling"]) == (1.0, "linear")
    run(folder, LINEAR_CIFAR)
    said = capsys.readouterr().out
    assert re.search(r"weights: \S+simclr_test, step \d+: encoder came in", said)
    kept = settings(folder, "simclr_test_ft")
    assert (kept["mode"], kept["fine_tune_after_block"]) == ("finetune", 4)
    assert (kept["color_jitter_strength"], kept["use_blur"]) == (0, False)
    assert kept["zero_init_logits_layer"] and kept["optimizer"] == "momentum"
    assert state.read_result(str(folder / "simclr_test_ft"))["metrics"]["image/top1"] >= 0


def test_imagenet_and_one_percent_of_its_labels(folder, capsys):
    run(folder, PRETRAIN_IMAGENET)
    run(folder, LINEAR_IMAGENET)
    run(folder, ONE_PERCENT)
    said = capsys.readouterr().out
    assert said.count("note: --train_summary_steps does nothing") == 3
    kept = settings(folder, "one_percent")
    assert (kept["ft_proj_selector"], kept["num_proj_layers"]) == (1, 3)
    assert kept["learning_rate_scaling"] == "sqrt" and kept["dataset"] == "imagenet2012_subset/1pct"
    assert state.read_result(str(folder / "one_percent"))["steps"] > 0
