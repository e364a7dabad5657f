"""Which file of flags a command goes by, and what is read from it."""

import pytest

from micle_tf import recipes
from micle_tf.config import Config
from micle_tf.errors import BadInput


def test_a_flagfile_is_found_as_typed_and_else_among_ours(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ours = recipes.RECIPES / "simclr/pretrain.flags"
    assert recipes.path_of("flags/simclr/pretrain.flags") == ours
    assert recipes.shown_path(ours) == "flags/simclr/pretrain.flags"
    (tmp_path / "flags/simclr").mkdir(parents=True)
    (tmp_path / "flags/simclr/pretrain.flags").write_text("--seed=3\n")
    mine = recipes.path_of("flags/simclr/pretrain.flags")
    assert mine.resolve() == tmp_path / "flags/simclr/pretrain.flags"
    assert recipes.shown_path(tmp_path / "a.flags") == "a.flags"


def test_what_files_state_and_what_of_it_does_nothing(tmp_path):
    (tmp_path / "a.flags").write_text("# for accelerators\n--seed=3\n--eval_name=x\n")
    (tmp_path / "b.flags").write_text("--flagfile=a.flags\n// mine\n--seed=4\n--mode=export\n")
    note = "--eval_name does nothing: --model_dir names a result"
    found = recipes.recipe_of(Config(), [str(tmp_path / "b.flags")])
    assert found.values == {"seed": 4} and found.notes == (note,)  # a recipe has no mode
    assert found.needs_accelerator and found.origin.endswith("b.flags")
    (tmp_path / "c.flags").write_text("--flagfile=c.flags\n")
    with pytest.raises(BadInput, match=r"c\.flags: files that name each other$"):
        recipes.recipe_of(Config(), [str(tmp_path / "c.flags")])


@pytest.mark.parametrize(
    "dataset, in_simclrs_words, expected",
    [
        ("derm_cases/ham10000", False, "recipe flags/derm_cases/ham10000/pretrain.flags"),
        ("derm_cases/ham10000", True, "recipe flags/derm_cases/ham10000/pretrain.flags"),
        ("imagenet2012", False, "recipe flags/imagenet2012/pretrain.flags"),
        ("imagenet2012", True, "recipe flags/simclr/pretrain.flags"),
        ("cifar10", False, ""),
        ("cifar10", True, "recipe flags/simclr/pretrain.flags"),
    ],
)
def test_the_recipe_of_a_dataset(dataset, in_simclrs_words, expected):
    found = recipes.recipe_of(Config(dataset=dataset), [], in_simclrs_words)
    assert found.origin == expected and bool(found.values) == bool(expected)
