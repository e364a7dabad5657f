"""What a DICOM file would take of the memory, found out before it does."""

import pytest

pytest.importorskip("pydicom")  # an extra: '.[dicom]'

from pydicom import uid

from data_builders.images import DAMAGED
from tests import hostile_files as hostile
from tests.data_builders.reading.test_dicom import fault, shown


def test_a_compressed_picture_larger_than_the_file_says():
    """The size in the compressed data counts, before it is unpacked."""
    syntax = {"2000": uid.JPEG2000, "RLE": uid.RLELossless}
    frame = hostile.jpeg_2000(5000, 5000, 5000)
    content = hostile.encapsulated_dicom(frame, syntax["2000"])
    assert fault(content) == "5000 x 5000 pixels are more than --max_pixels=1000000"
    content = hostile.encapsulated_dicom(hostile.rle(3_000), syntax["RLE"])
    assert fault(content) == DAMAGED
    content = hostile.deflated_dicom(24, 16, 1 << 25)
    assert fault(content).startswith("unpacks to more than ")
    shown(hostile.deflated_dicom(24, 16))


def test_a_decoy_before_the_codestream():
    decoy, large = hostile.jpeg_2000(16, 16, 16), hostile.jpeg_2000(5000, 5000, 5000)
    box = lambda kind, data: (len(data) + 8).to_bytes(4, "big") + kind + data
    frame = box(b"jP  ", b"\r\n\x87\n") + box(b"free", decoy) + box(b"jp2c", large)
    content = hostile.encapsulated_dicom(frame, uid.JPEG2000)
    assert fault(content) == "5000 x 5000 pixels are more than --max_pixels=1000000"
