"""Words of a command line as values of settings."""

import dataclasses

import pytest

from micle_tf import cli, parsing
from micle_tf.config import Config
from micle_tf.errors import BadInput

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_simclrs_name_of_mode():
    assert cli.configure(["--train_mode=pretrain"])[0].mode == "pretrain"


def test_simclrs_name_of_the_tpu_strategy():
    strategy = lambda *argv: cli.configure(argv)[0].strategy
    assert strategy("--use_tpu") == strategy("--use_tpu=True", "--tpu_name=v3") == "tpu"
    assert strategy("--use_tpu=False") == strategy("--nouse_tpu") == "auto"
    assert strategy("--use_tpu", "--strategy=mirrored") == "mirrored"
    with pytest.raises(BadInput, match=r"^--use_tpu=perhaps: not true or false$"):
        cli.configure(["--use_tpu=perhaps"])


def test_every_kind_of_value_in_every_spelling():
    words = ["--seed=3", "--temperature", "0.5", "-method=simclr", "--use_blur=false"]
    found, files, *_ = parsing.parse([*words, "--flagfile=a.flags", "-flagfile", "b.flags"])
    assert found == {"seed": 3, "temperature": 0.5, "method": "simclr", "use_blur": False}
    assert files == ["a.flags", "b.flags"]
    assert parsing.parse(["--use_blur"])[0] == {"use_blur": True}
    assert parsing.parse(["--nouse_blur"])[0] == {"use_blur": False}
    assert parsing.parse(["--seed=3", "--seed=4"])[0] == {"seed": 4}
    assert parsing.parse([]) == ({}, [], (), False)


def test_every_field_is_a_flag_of_its_type():
    for field in dataclasses.fields(Config):
        value = {bool: True, int: 7, float: 0.25, str: "text"}[field.type]
        found, *_ = parsing.parse([f"--{field.name}={str(value).lower()}"])
        assert found == {field.name: value} and type(found[field.name]) is field.type


def test_the_home_is_written_out_in_paths_alone(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    found, *_ = parsing.parse(["--manifest=~/a.csv", "--columns=image=~/x"])
    assert found == {"manifest": "/home/somebody/a.csv", "columns": "image=~/x"}


@pytest.mark.parametrize(
    "word, message",
    [
        ("--sede=3", "--sede: no such flag; did you mean --seed?"),
        ("--batch_size=8", "--batch_size: no such flag; did you mean --train_batch_size?"),
        ("--nouse_blurr", "--nouse_blurr: no such flag; did you mean --use_blur?"),
        ("--qqq", "--qqq: no such flag"),
        ("--seed=1.5", "--seed=1.5: not a whole number"),
        ("--temperature=warm", "--temperature=warm: not a number"),
        ("--use_blur=perhaps", "--use_blur=perhaps: not true or false"),
        ("seed=3", "seed=3: stray argument; flags look like --name=value"),
        ("--undefok=seed", "--undefok: no such flag"),
        ("--flagfile=", "--flagfile: name a file"),
    ],
)
def test_words_that_are_no_flags_are_named_with_where_they_stand(word, message):
    for where in ("", "mine.flags: "):
        with pytest.raises(BadInput) as caught:
            parsing.parse(["--seed=1", word], where)
        assert str(caught.value) == f"{where}{message}"
