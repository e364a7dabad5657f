"""Small files must not take gigabytes, of a preparation or of a server."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from micle_tf import export as exports
from tests.test_export import classifier_of

ROOT = pathlib.Path(__file__).parents[2]
SIDE = 5_000  # 25 million pixels are accepted
MEGABYTES = 600


def measured(*arguments):
    command = [sys.executable, "-m", "tests.memory_of_hostile_files", str(SIDE), *arguments]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "-1"},
    )  # fmt: skip
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="needs Linux")
@pytest.mark.parametrize("served", [False, True])
def test_hostile_files(tmp_path, served):
    """Some 20 s each: real files, made and read in a process of their own."""
    pytest.importorskip("pydicom")
    arguments = ()
    if served:
        arguments = (
            exports.write_export(
                classifier_of(), str(tmp_path), "m", 1, {}, max_pixels=SIDE**2
            ).saved_model,
        )
    found = measured(*arguments)
    assert len(found) >= 10
    taken = {name: megabytes for name, (megabytes, _) in found.items()}
    assert max(taken.values()) < MEGABYTES, taken
    accepted = {name for name, (_, outcome) in found.items() if outcome == "accepted"}
    assert {"PNG", "progressive JPEG", "turned PNG with alpha"} <= accepted
    assert not {name for name in accepted if "billion" in name or "GB" in name}
    if not served:
        assert {"deflated DICOM", "colour PNG of 16 bits with alpha"} <= accepted
