"""Commands on what was prepared before: what they recall, and what they are told themselves."""

import os
import pathlib

import pytest
import tensorflow as tf

from micle_tf import cli
from micle_tf.config import Config
from micle_tf.data import cases
from micle_tf.errors import BadInput
from tests.data.ham import HAM, everything, open_ham, spoil

AGAIN = ["--mode=pretrain", f"--dataset={HAM}", "--data_dir=data"]


def sides_of(data):
    return {max(tf.io.decode_jpeg(image).shape) for _, image in everything(data).values()}


def test_a_flag_on_the_line_stays_though_it_is_the_default(ham, capsys):
    small = open_ham(max_image_side=16, jpeg_quality=80)
    capsys.readouterr()
    recalled, _ = cli.configure(AGAIN)
    assert capsys.readouterr().out == (
        f"{HAM}: as it was prepared, --manual_dir={ham} --max_image_side=16 --jpeg_quality=80\n"
    )
    assert (recalled.max_image_side, recalled.jpeg_quality) == (16, 80)
    assert cases.open_cases(recalled).name == small.name and sides_of(small) == {16}

    stated, _ = cli.configure([*AGAIN, "--max_image_side=0"])
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"{HAM}: as it was prepared, --manual_dir={ham} --jpeg_quality=80"
    )
    assert (stated.max_image_side, stated.jpeg_quality) == (0, 80)
    whole = cases.open_cases(stated)
    assert whole.name != small.name and min(sides_of(whole)) > 16


def test_who_wants_to_be_strict_now_is(ham):
    messages = spoil(ham, 1)
    tolerant = open_ham(max_bad_images=1)
    recalled, _ = cli.configure(AGAIN)
    assert recalled.max_bad_images == 1 and cases.open_cases(recalled).name == tolerant.name
    strict, _ = cli.configure([*AGAIN, "--max_bad_images=0"])
    assert strict.max_bad_images == 0
    with pytest.raises(BadInput) as caught:
        cases.open_cases(strict)
    message = str(caught.value).replace(f"{ham.parent}/", "")  # as the note has the whole path
    assert [message] == list(messages.values())


def test_a_recipe_is_no_less_stated(ham, tmp_path):
    open_ham(max_image_side=16)
    (tmp_path / "mine.flags").write_text("--max_image_side=0\n")
    config, _ = cli.configure([*AGAIN, "--flagfile=mine.flags"])
    assert (config.max_image_side, config.manual_dir) == (0, str(ham))


def test_classifiers_on_a_run_whose_files_were_moved(ham, capsys):
    """Nobody types --manual_dir: it comes from the run, and the files are no longer there."""
    first = open_ham(max_image_side=16)
    source = Config(
        mode="pretrain", dataset=HAM, data_dir="data", manual_dir=str(ham), max_image_side=16
    )
    pathlib.Path("run").mkdir()
    pathlib.Path("run/config.json").write_text(source.to_json())
    command = ["--mode=finetune", "--checkpoint=run"]
    config, _ = cli.configure(command)
    assert (config.manual_dir, config.max_image_side) == (str(ham), 16)

    os.rename("files", "moved")
    capsys.readouterr()
    config, _ = cli.configure(command)
    data = cases.open_cases(config)
    assert (data.name, sides_of(data)) == (first.name, {16})
    assert capsys.readouterr().out == (
        f"{HAM}: as it was prepared, --manual_dir={ham}\n"
        f"{HAM}: its files are no longer in {ham}, but what was prepared is there\n"
    )
    ham.mkdir()  # a disk that is not mounted
    assert cases.open_cases(cli.configure(command)[0]).name == first.name
    # With what is in the run alone, the folder is not taken over.
    os.remove(f"data/{HAM}.prepared.json")
    ham.rmdir()
    config, _ = cli.configure(command)
    assert config.manual_dir == ""
    with pytest.raises(BadInput) as caught:
        cases.open_cases(config)
    assert str(caught.value) == f"--dataset={HAM}: say where its files are with --manual_dir"
    moved, _ = cli.configure([*command, "--manual_dir=moved"])
    assert cases.open_cases(moved).name == first.name
