"""Which files an earlier version showed otherwise: turned photos, DICOM with padding or tables."""

import numpy as np
import pytest

from data_builders.image_files import ImageFolder
from data_builders.schema import Case, CaseImage, CaseSource
from data_builders.seen_otherwise import file_is_seen_otherwise, seen_otherwise
from tests.kinds_of_images import picture, saved


@pytest.fixture
def files(tmp_path):
    """A function from {name: content} to the `ImageFile`s of a folder."""

    def write(contents):
        for name, content in contents.items():
            (tmp_path / name).write_bytes(content)
        folder = ImageFolder(str(tmp_path))
        return [folder.find(name, "row") for name in contents]

    return write


def source_of(files):
    images = tuple(CaseImage(f"i{k}", file) for k, file in enumerate(files))
    return CaseSource({"train": [Case("c", "p", images[:1])], "test": [Case("d", "q", images[1:])]})


@pytest.mark.parametrize("encoding", ["JPEG", "PNG"])
@pytest.mark.parametrize("turned", [0, 1, 2, 6, 9])
def test_a_photo_that_is_turned(files, encoding, turned):
    (file,) = files({"a." + encoding.lower(): saved(picture(), encoding, turned=turned)})
    assert file_is_seen_otherwise(file) == (2 <= turned <= 8)


def test_a_header_longer_than_the_beginning_is_read_on(files):
    """Some cameras put a preview before the orientation: here 100,000 bytes of comments."""
    photo = saved(picture(), "JPEG", turned=6)
    long = photo[:2] + b"".join(b"\xff\xfe\xc3\x52" + bytes(50_000) for _ in range(2)) + photo[2:]
    (file,) = files({"a.jpg": long})
    assert file_is_seen_otherwise(file)


def test_a_file_that_cannot_be_read_is_left_to_preparing(files, tmp_path):
    (file,) = files({"a.jpg": saved(picture(), "JPEG", turned=6)})
    (tmp_path / "a.jpg").unlink()
    assert not file_is_seen_otherwise(file)


def test_dicom_with_padding(files):
    pytest.importorskip("pydicom")
    from tests.data_builders.reading.test_dicom import dicom

    pixels = np.arange(64, dtype=np.uint16).reshape(8, 8)
    plain, padded = files({"a.dcm": dicom(pixels), "b.dcm": dicom(pixels, PixelPaddingValue=3)})
    assert not file_is_seen_otherwise(plain) and file_is_seen_otherwise(padded)


def test_one_file_of_a_source_is_enough_and_large_ones_do_not_count(files):
    plain = saved(picture(), "PNG")
    turned = saved(picture(), "PNG", turned=3)
    looked = []
    assert not seen_otherwise(
        source_of(files({"a.png": plain, "b.png": plain})), 10**6, looked.append
    )
    assert looked == [2]
    source = source_of(files({"a.png": plain, "b.png": turned}))
    assert seen_otherwise(source, 10**6)
    assert not seen_otherwise(source, len(turned) - 1)
