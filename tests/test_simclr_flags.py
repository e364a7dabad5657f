"""SimCLR's flags: the same, another name, no effect, or refused with what stands for it."""

import pathlib
import re

import pytest

from micle_tf import cli, simclr_flags
from micle_tf.config import Config
from micle_tf.errors import BadInput
from micle_tf.parsing import parse

pytestmark = pytest.mark.usefixtures("elsewhere")

ENCODER = "(?!global_step|(?:.*/|^)Momentum|head)"
WITH_HEAD = "(?!global_step|(?:.*/|^)LARSOptimizer|head_supervised)"
# All flags of both run.py of google-research/simclr, beside absl's.
_WORDS = """
    learning_rate learning_rate_scaling warmup_epochs weight_decay batch_norm_decay
    train_batch_size train_split train_epochs train_steps train_summary_steps eval_steps
    eval_batch_size checkpoint_epochs checkpoint_steps eval_split dataset cache_dataset mode
    train_mode lineareval_while_pretraining checkpoint variable_schema zero_init_logits_layer
    fine_tune_after_block master model_dir data_dir use_tpu tpu_name tpu_zone gcp_project
    optimizer momentum eval_name keep_checkpoint_max keep_hub_module_max temperature hidden_norm
    head_proj_mode head_proj_dim num_nlh_layers proj_head_mode proj_out_dim num_proj_layers
    ft_proj_selector global_bn width_multiplier resnet_depth sk_ratio se_ratio image_size
    color_jitter_strength use_blur
"""


OF_SIMCLR = _WORDS.split()


def test_every_flag_of_theirs_is_known_and_none_stands_twice():
    ours = set(Config.__dataclass_fields__)
    assert set(OF_SIMCLR) <= ours | set(simclr_flags.NAMES)
    assert not ours & set(simclr_flags.NAMES)
    assert set(simclr_flags.NAMES) <= set(OF_SIMCLR)


@pytest.mark.parametrize(
    "words, expected",
    [
        ([], None),
        (["--mode=train"], "pretrain"),
        (["--train_mode=finetune"], "finetune"),
        (["--mode=train_then_eval", "--train_mode=finetune"], "finetune"),
        (["--mode=train_then_eval"], "pretrain"),
        (["--mode=finetune", "--train_mode=finetune"], "finetune"),
    ],
)
def test_mode_and_train_mode(words, expected):
    assert parse(words)[0].get("mode") == expected


@pytest.mark.parametrize(
    "words, expected",
    [
        (["--head_proj_dim=64"], {"proj_out_dim": 64}),
        (["--num_nlh_layers=1"], {"num_proj_layers": 2}),
        (["--proj_head_mode=none"], {"num_proj_layers": 0}),
        (["--head_proj_mode=linear", "--num_proj_layers=3"], {"num_proj_layers": 1}),
        (["--proj_head_mode=nonlinear", "--num_proj_layers=3"], {"num_proj_layers": 3}),
        (["--keep_checkpoint_max=5"], {"keep_checkpoints": 5}),
        (["--checkpoint_steps=70"], {"checkpoint_every": "70steps"}),
        (["--checkpoint_steps=0"], {}),
        (["--train_summary_steps=25"], {"log_every": 25}),
        (["--batch_norm_decay=0.9", "--cache_dataset=false", "--eval_steps=0"], {}),
        ([f"--variable_schema={ENCODER}"], {"new_projection_head": True}),
        ([f"--variable_schema={ENCODER}", "--mode=finetune"], {"mode": "finetune"}),
        ([f"--variable_schema={WITH_HEAD}"], {}),
        (["--variable_schema=?!global_step"], {}),
    ],
)
def test_another_name(words, expected):
    found = parse(words)
    assert (found.values, found.notes) == (expected, ())


@pytest.mark.parametrize(
    "word, note",
    [
        ("--train_summary_steps=0", "the log is written every --log_every steps"),
        ("--checkpoint_epochs=1", "checkpoints are saved as --checkpoint_every says"),
        ("--eval_steps=3", "every image of --eval_split is judged"),
        ("--eval_name=x", "--model_dir names a result"),
        ("--keep_hub_module_max=1", "--mode=export writes a model"),
        ("--cache_dataset", "the system keeps files in memory"),
    ],
)
def test_no_effect_is_said_once(word, note, capsys):
    assert cli.main(["--mode=export", word]) == 2  # for want of a run
    name = word.partition("=")[0]
    assert capsys.readouterr().out.splitlines()[0] == f"note: {name} does nothing: {note}"


@pytest.mark.parametrize(
    "words, message",
    [
        (["--mode=eval"], "--mode=eval: here a run is judged when it ends, and anew by "
         "--mode=evaluate --checkpoint=RUN"),
        (["--train_mode=export"], "--train_mode=export: not one of pretrain, finetune"),
        (["--mode=pretrain", "--train_mode=finetune"],
         "--train_mode=finetune: contradicts --mode=pretrain; leave one out"),
        (["--batch_norm_decay=0.99"], "--batch_norm_decay=0.99: batch norm keeps 0.9 of its "),
        (["--master=local"], "--master=local: name a TPU with --tpu_name"),
        (["--proj_head_mode=deep"], "--proj_head_mode=deep: not one of none, linear, nonlinear"),
        (["--variable_schema=.*"], "--variable_schema=.*: only the two of SimCLR's README"),
        ([f"--variable_schema={ENCODER}", "--mode=finetune", "--ft_proj_selector=1"],
         f"--variable_schema={ENCODER}: leaves out the projection head, of which --ft_proj_"),
        (["--num_nlh_layers=x"], "--num_nlh_layers=x: not a whole number"),
        (["--num_nlh_layer=1"], "--num_nlh_layer: no such flag; did you mean --num_nlh_layers?"),
    ],
)  # fmt: skip
def test_refused_with_what_to_do(words, message, capsys):
    with pytest.raises(BadInput, match="^" + re.escape(message)):
        parse(words)
    assert cli.main(words) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_recipe_may_hold_their_flags(tmp_path, capsys):
    (tmp_path / "theirs.flags").write_text("--head_proj_dim=32\n--eval_name=x\n")
    config, _ = cli.configure(["--flagfile=theirs.flags"])
    assert config.proj_out_dim == 32
    assert capsys.readouterr().out.count("--eval_name does nothing") == 1


def test_the_last_layer_of_the_head_by_its_number():
    words = ["--mode=finetune", "--checkpoint=run", "--ft_proj_selector=-1"]
    run = Config(num_proj_layers=3, dataset="derm_cases/synthetic")
    pathlib.Path("run").mkdir()
    pathlib.Path("run/config.json").write_text(run.to_json())
    assert cli.configure(words)[0].ft_proj_selector == 3


def test_the_documents_have_each_of_them_with_what_stands_for_it():
    page = (pathlib.Path(__file__).parents[1] / "docs/published_weights.md").read_text()
    rows = re.findall(r"^\| `--(\w+)` \| (.*) \|$", page, re.MULTILINE)
    assert dict(rows) == {flag.name: flag.here for flag in simclr_flags.THEIRS}
    paragraph = page[page.index("The same name and meaning here") :].partition("\n\n")[0]
    same = set(re.findall(r"`--(\w+)`", paragraph))
    assert same == set(OF_SIMCLR) - set(simclr_flags.NAMES) - {"mode"}


@pytest.mark.parametrize(
    "words", [["--train_mode=pretrain"], ["--mode=train"], ["--mode", "train"]]
)
def test_a_command_in_their_words_takes_their_defaults(words):
    config, origin = cli.configure([*words, "--dataset=cifar10"])
    assert origin == "recipe flags/simclr/pretrain.flags"
    assert (config.method, config.train_batch_size, config.num_proj_layers) == ("simclr", 512, 3)
    preset, origin = cli.configure([*words, "--dataset=cifar10", "--preset=laptop"])
    assert preset.optimizer == "adam" and "preset laptop" in origin


def test_what_their_code_does_beside_a_pretraining_is_said():
    judged = "--mode=train_then_eval trains alone: --mode=linear_eval judges a pretraining"
    beside = "--lineareval_while_pretraining is off here, and on in SimCLR's code"
    for words, expected in (
        (["--mode=train_then_eval"], (judged, beside)),
        (["--train_mode=pretrain"], (beside,)),
        (["--mode=train_then_eval", "--train_mode=finetune"], ()),
        (["--train_mode=pretrain", "--lineareval_while_pretraining=false"], ()),
        (["--mode=pretrain"], ()),
    ):
        found = parse(words)
        assert found.notes == expected
        assert found.in_simclrs_words == (words != ["--mode=pretrain"])
