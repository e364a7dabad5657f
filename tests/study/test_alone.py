"""Words that a run of a study is looked at with while nothing is there that it would start from."""

import pytest

from micle_tf.errors import BadInput
from micle_tf.study import alone
from micle_tf.study.directory import StudyDirectory
from micle_tf.study.reading import parse
from micle_tf.study.runs import planned

TEXT = """
dataset = "derm_cases"
[stages.natural]
mode = "pretrain"
checkpoint = "weights.keras"
[stages.finetune]
mode = "finetune"
learning_rate = 0.01
[variants]
published = ["natural", "finetune"]
"""
NATURAL, FINETUNE = planned(parse(TEXT, "mine"), {})


def words_of(run, *more):
    return alone.prepared(StudyDirectory("nowhere"), run, lambda words: words, *more)


def test_nothing_is_named_but_weights_that_the_stage_states():
    assert words_of(NATURAL)[0] == "--mode=pretrain"
    assert "--checkpoint=weights.keras" in words_of(NATURAL)
    words = words_of(FINETUNE, "--dry_run")
    assert {"--mode=finetune", "--learning_rate=0.01", "--seed=0"} <= set(words)
    assert words[-1] == "--dry_run"
    assert not any(word.startswith(("--checkpoint", "--model_dir")) for word in words)


def test_what_cannot_be_is_said_of_the_stage_and_notes_are_not(capsys):
    def refuses(words):
        print("note: of the run")
        raise BadInput("--learning_rate=0.01: no")

    with pytest.raises(BadInput, match=r"^finetune: --learning_rate=0\.01: no$"):
        alone.prepared(StudyDirectory("nowhere"), FINETUNE, refuses)
    assert capsys.readouterr().out == ""
