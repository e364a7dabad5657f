"""What a run starts from: a run of ours, or weights of others and what they dictate."""

import json

import pytest

from micle_tf import cli, starts
from micle_tf.config import Config
from micle_tf.errors import BadInput
from tests.pretrained.originals import Original, tf1_names, write_checkpoint, write_tf1

pytestmark = pytest.mark.usefixtures("elsewhere", "whole_networks")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A small member of SimCLRv2's family with a head of three layers."""
    folder = tmp_path_factory.mktemp("published") / "r10_1x_sk0"
    write_checkpoint(folder, Original(10, head=3, classes=4))
    return str(folder)


def test_nothing_a_run_and_weights(weights, tmp_path):
    assert starts.start_of("") == starts.Start()
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.json").write_text(Config(seed=7).to_json())
    start = starts.start_of("run")
    assert start.config.seed == 7 and start.weights is None
    start = starts.start_of(weights)
    assert start.config is None
    assert start.weights.flags == {
        "resnet_depth": 10, "width_multiplier": 1 / 16, "sk_ratio": 0.0, "se_ratio": 0.0,
        "num_proj_layers": 3, "proj_out_dim": start.weights.flags["proj_out_dim"],
    }  # fmt: skip
    name, _, rest = start.weights.fact.partition(" (sha256 ")
    assert name == start.weights.name and name.startswith("r10_1x_sk0-") and len(rest) == 65
    assert name.removeprefix("r10_1x_sk0-") == rest[:6]
    assert starts.is_of_others(start.weights.fact) and not starts.is_of_others("ckpt-5 (3f0a91c2)")


def test_their_shapes_count_and_their_name_is_in_the_place(weights, capsys):
    words = ["--mode=pretrain", f"--checkpoint={weights}", "--dataset=derm_cases", "--seed=3"]
    config, _ = cli.configure(words)
    assert (config.resnet_depth, config.width_multiplier, config.num_proj_layers) == (10, 1 / 16, 3)
    name = starts.weights_of(weights).name
    assert config.model_dir == f"runs/derm_cases-synthetic/pretrain-micle-{name}"
    assert "note: as the weights are: --width_multiplier=0.0625" in capsys.readouterr().out
    tune, _ = cli.configure(["--mode=finetune", *words[1:], "--label_fraction=0.1"])
    assert tune.model_dir == f"runs/derm_cases-synthetic/finetune-{name}-0.1"


def test_a_run_there_knows_what_is_asked_of_weights_that_are_gone(weights, tmp_path):
    start = starts.start_of(weights)
    config = Config(checkpoint="gone", num_proj_layers=3, resnet_depth=10)
    (tmp_path / "run").mkdir()
    facts = json.loads(config.to_json()) | {"weights": start.weights.fact}
    (tmp_path / "run/config.json").write_text(json.dumps(facts))
    kept = starts.start_of("gone", "run").weights
    assert (kept.name, kept.fact, kept.small_stem) == (start.weights.name,
                                                       start.weights.fact, None)  # fmt: skip
    assert kept.flags["resnet_depth"] == 10 and kept.flags["num_proj_layers"] == 3
    with pytest.raises(BadInput, match=r"^--checkpoint=elsewhere: "):
        starts.start_of("elsewhere", "run")


@pytest.mark.parametrize(
    "words, message",
    [
        (["--mode=evaluate"], "weights of others have no classifier of ours; train one with "
         "--mode=linear_eval"),
        (["--mode=pretrain", "--resnet_depth=50"], "--resnet_depth=50: --checkpoint=W has 10"),
        (["--mode=pretrain", "--width_multiplier=2"], "--width_multiplier=2.0: --checkpoint=W has "
         "0.0625"),
        (["--mode=linear_eval", "--image_size=32"], "--image_size=32: --checkpoint=W has the large "
         "stem, of more than 32 px"),
        (["--mode=finetune", "--ft_proj_selector=1", "--num_proj_layers=2"],
         "--num_proj_layers=2: --checkpoint=W has 3"),
    ],
)  # fmt: skip
def test_what_contradicts_is_refused(weights, tmp_path, *, capsys, words, message):
    assert cli.main([*words, f"--checkpoint={weights}", "--dataset=derm_cases"]) == 2
    captured = capsys.readouterr()
    assert message.replace("W", weights) in captured.err and captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_layers_of_a_head_that_is_not_there(tmp_path, capsys):
    arrays = {k: v for k, v in tf1_names(Original(10)).items() if "head_contrastive" not in k}
    path = write_tf1(tmp_path / "v1", arrays)
    words = [f"--checkpoint={path}", "--dataset=derm_cases", "--ft_proj_selector=1"]
    assert cli.main(["--mode=finetune", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --ft_proj_selector=1: --checkpoint=")
    assert "no projection head" in error
