"""Small files, written whole or not at all."""

import errno
import json
import math
import os

import numpy as np
import pytest
import tensorflow as tf

from micle_tf import files

gfile = tf.io.gfile


@pytest.fixture(params=["disk", "memory"])
def folder(request, tmp_path):
    """A folder on the disk, and one on TensorFlow's file system in memory."""
    path = str(tmp_path) if request.param == "disk" else f"ram://{tmp_path.name}"
    gfile.makedirs(path)
    yield path
    if request.param == "memory":
        gfile.rmtree(path)


def text_of(path):
    with gfile.GFile(path, "rb") as file:
        return file.read().decode()


def test_a_file_is_replaced_whole(folder):
    path = os.path.join(folder, "a.txt")
    for text in ("long " * 1000, "short"):
        files.write_text(path, text)
        assert text_of(path) == text
    assert gfile.listdir(folder) == ["a.txt"]


def test_a_failure_leaves_what_was_there(folder):
    path = os.path.join(folder, "a.txt")
    files.write_text(path, "before")
    with pytest.raises(ValueError), files.renamed_when_whole(path) as unfinished:
        assert unfinished.endswith("a.txt") and unfinished != path
        with gfile.GFile(unfinished, "w") as file:
            file.write("half")
        assert text_of(path) == "before"
        raise ValueError
    assert text_of(path) == "before" and gfile.listdir(folder) == ["a.txt"]


def test_what_a_killed_writer_left_is_no_part_of_the_next_file(folder):
    path = os.path.join(folder, "a.txt")
    with gfile.GFile(os.path.join(folder, "unfinished-a.txt"), "w") as file:
        file.write("half of an earlier one")
    files.write_text(path, "whole")
    assert text_of(path) == "whole" and gfile.listdir(folder) == ["a.txt"]


def test_json_has_null_for_what_is_not_finite(folder):
    value = {
        "a": [1, math.nan, (math.inf, -math.inf, 2.5)],
        "b": {"c": np.float64("nan")},
        "d": None,
    }
    assert files.finite(value) == {"a": [1, None, [None, None, 2.5]], "b": {"c": None}, "d": None}
    assert math.isnan(value["a"][1])  # a copy
    path = os.path.join(folder, "a.json")
    files.write_json(path, value | {"e": True, "f": "x"})
    read = json.loads(text_of(path), parse_constant=pytest.fail)
    assert read == files.finite(value) | {"e": True, "f": "x"}
    assert text_of(path).endswith("}\n")


@pytest.mark.parametrize(
    "error, full",
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), True),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), True),
        (OSError(errno.EROFS, os.strerror(errno.EROFS)), False),
        (RuntimeError("writer: No space left on device"), True),
        (OSError("Not enough disk space. Needed: 3 GiB"), True),
        (ValueError("no such file"), False),
    ],
)
def test_a_full_disk(error, full):
    assert files.disk_is_full(error) == full


@pytest.mark.parametrize(
    "error, reason",
    [
        (tf.errors.NotFoundError(None, None, "/a/b.index; No such file or directory"),
         "No such file or directory"),
        (tf.errors.DataLossError(None, None, "{{function_node x}} truncated [Op:ReadFile]"),
         "truncated"),
        (OSError("one\ntwo"), "one"),
        (KeyError(), "KeyError"),
        (ValueError("x" * 500), "x" * 200),
    ],
)  # fmt: skip
def test_reasons_are_one_short_line(error, reason):
    assert files.reason_of(error) == reason
