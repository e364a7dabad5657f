"""What a bug report says of the machine."""

import pathlib
import re
import sys

import micle_tf
from micle_tf import cli


def test_versions_for_a_bug_report(capsys):
    assert cli.main(["--version"]) == 0
    text = capsys.readouterr().out
    facts = dict(line.split(maxsplit=1) for line in text.splitlines())
    assert facts["micle-tf"] == micle_tf.__version__
    assert facts["python"] == ".".join(map(str, sys.version_info[:3]))
    for name in ("tensorflow", "keras", "numpy"):
        assert facts[name] == __import__(name).__version__
    assert facts["devices"].split(", ")[0] == "CPU"
    assert re.fullmatch(r"[\d.]+ GiB(, [\d.]+ GiB allowed)?", facts["memory"])
    assert "/" not in text and str(pathlib.Path.home().name) not in text.split()
    micle_tf.show_versions()
    assert capsys.readouterr().out == text
