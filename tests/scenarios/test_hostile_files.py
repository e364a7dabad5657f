"""Small files must not take gigabytes, of a preparation or of a server."""

import json
import os

import pytest

from micle_tf import export as exports
from tests.test_export import classifier_of

SIDE = 5_000  # 25 million pixels are accepted
MEGABYTES = 600


def measured(warm, *arguments):
    command = "-m", "tests.memory_of_hostile_files", SIDE, *arguments
    process = warm.start(*command, env={"CUDA_VISIBLE_DEVICES": "-1"})
    assert process.wait() == 0, process.err
    return json.loads(process.out)


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="needs Linux")
@pytest.mark.parametrize("served", [False, True])
def test_hostile_files(tmp_path, warm, served):
    """Some 20 s each: real files, made and read in a process of their own."""
    pytest.importorskip("pydicom")
    arguments = ()
    if served:
        arguments = (
            exports.write_export(
                classifier_of(), str(tmp_path), "m", 1, {}, max_pixels=SIDE**2
            ).saved_model,
        )
    found = measured(warm, *arguments)
    assert len(found) >= 10
    taken = {name: megabytes for name, (megabytes, _) in found.items()}
    assert max(taken.values()) < MEGABYTES, taken
    accepted = {name for name, (_, outcome) in found.items() if outcome == "accepted"}
    assert {"PNG", "progressive JPEG", "turned PNG with alpha"} <= accepted
    assert not {name for name in accepted if "billion" in name or "GB" in name}
    if not served:
        assert {"deflated DICOM", "colour PNG of 16 bits with alpha"} <= accepted
