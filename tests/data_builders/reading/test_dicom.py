"""DICOM files that pydicom writes, against closed forms, pydicom and what each other shows."""

import io
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

pytest.importorskip("pydicom")  # an extra: '.[dicom]'

import imagecodecs
import pydicom
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_windowing, convert_color_space, get_decoder

from data_builders.images import BadImage, ImageOptions, stored_image
from data_builders.reading.dicom import dicom_pixels
from micle_tf.data.decode import decode

# pytest puts its own filters before those of the module.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

SHIPPED = pathlib.Path(pydicom.__file__).parent / "data" / "test_files"  # those in the package


def dataset(pixels, bits=None, **elements):
    """A data set of pixels, [h, w] or [h, w, 3], of any integer type."""
    pixels = np.asarray(pixels)
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID = uid.SecondaryCaptureImageStorage, "1.2.3"
    data.Rows, data.Columns = pixels.shape[:2]
    data.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    data.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if pixels.ndim == 3:
        data.PlanarConfiguration = 0
    data.BitsAllocated = 8 * pixels.itemsize
    data.BitsStored = bits or data.BitsAllocated
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes() + bytes(pixels.nbytes % 2)
    data["PixelData"].VR = "OB" if pixels.itemsize == 1 else "OW"
    for name, value in elements.items():
        setattr(data, name, value)
    return data


def written(data):
    content = io.BytesIO()
    pydicom.dcmwrite(content, data, enforce_file_format=True)
    return content.getvalue()


def dicom(pixels, bits=None, **elements):
    return written(dataset(pixels, bits, **elements))


def compressed(pixels, syntax, frame, bits=None, **elements):
    """A file with one frame that somebody else has compressed."""
    data = dataset(pixels, bits, **elements)
    data.file_meta.TransferSyntaxUID = syntax
    data.PixelData = encapsulate([frame])
    data["PixelData"].VR = "OB"
    return written(data)


def shown(content):
    return dicom_pixels(content, 10**6)


def fault(content, max_pixels=10**6):
    with pytest.raises(BadImage) as caught:
        dicom_pixels(content, max_pixels)
    return str(caught.value)


def assert_close(pixels, wanted):
    """uint8 pixels are the wanted real numbers, rounded and cut to 0 ... 255."""
    assert pixels.dtype == np.uint8
    assert np.abs(pixels - np.clip(wanted, 0, 255)).max() <= 0.5 + 1e-9


RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)  # all values of 12 bits
WINDOW = dict(WindowCenter=2000, WindowWidth=1001)  # linear from 1499.5 to 2499.5
COLOURS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
BLOCKS = np.kron(np.random.default_rng(1).integers(20, 230, (3, 4, 3)), np.ones((16, 16, 1)))
BLOCKS = BLOCKS.astype(np.uint8)


# ---------------------------------------------------------------- windows


def test_linear_window():
    assert_close(shown(dicom(RAMP, 12, **WINDOW)), (RAMP - 1499.5) * 255 / 1000)


def test_linear_exact_window():
    content = dicom(RAMP, 12, WindowCenter=2000, WindowWidth=1000, VOILUTFunction="LINEAR_EXACT")
    assert_close(shown(content), (RAMP - 1500.0) * 255 / 1000)


def test_sigmoid_window():
    content = dicom(RAMP, 12, WindowCenter=2000, WindowWidth=500, VOILUTFunction="SIGMOID")
    assert_close(shown(content), 255 / (1 + np.exp(-4 * (RAMP - 2000.0) / 500)))


def test_narrowest_windows():
    step = np.where(RAMP >= 2000, 255, 0)
    np.testing.assert_array_equal(shown(dicom(RAMP, 12, WindowCenter=2000, WindowWidth=1)), step)
    narrow = dicom(RAMP, 12, WindowCenter=1999.5, WindowWidth=0.5, VOILUTFunction="LINEAR_EXACT")
    np.testing.assert_array_equal(shown(narrow), step)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(
    "pixels, bits, slope, intercept, center, width",
    [
        (RAMP, 12, None, None, 1024, 2048),
        (RAMP, 12, 1, -1024, 40, 400),
        (RAMP, 12, 0.25, 7.5, 300, 513),
        (RAMP.astype(np.int16) - 2048, 12, None, None, -100, 900),
        (RAMP.astype(np.int16) - 2048, 16, 2, -10, 500, 3001),
        (RAMP.astype(np.uint8), 8, None, None, 100, 101),
        (RAMP.astype(np.uint8).view(np.int8), 8, None, None, -20, 101),
        (RAMP.astype(np.uint8), 8, 3, 5, 400, 500),
        (RAMP.astype(np.uint32) * 1_000_000, 32, None, None, 2e9, 3e9),
    ],
)
def test_windows_as_in_pydicom(function, pixels, bits, *, slope, intercept, center, width):
    elements = dict(WindowCenter=center, WindowWidth=width, VOILUTFunction=function)
    values = pixels.astype(np.float64)
    if slope is not None:
        elements |= dict(RescaleSlope=slope, RescaleIntercept=intercept)
        values = values * slope + intercept
    data = dataset(pixels, bits, **elements)
    # pydicom puts the window on the range of what `bits` can hold, rescaled.
    low = -(2 ** (bits - 1)) if pixels.dtype.kind == "i" else 0
    ends = np.array([low, low + 2**bits - 1]) * (slope or 1) + (intercept or 0)
    theirs = (apply_windowing(values, data) - ends[0]) * 255 / (ends[1] - ends[0])
    ours = shown(written(data))
    assert_close(ours, theirs)
    assert ours.min() <= 30 and ours.max() >= 225


def test_negative_slope_turns_dark_into_bright():
    content = dicom(
        RAMP, 12, RescaleSlope=-1, RescaleIntercept=4095, WindowCenter=2000, WindowWidth=1001
    )
    assert_close(shown(content), (4095 - RAMP - 1499.5) * 255 / 1000)


def test_first_of_several_windows():
    content = dicom(RAMP, 12, WindowCenter=[2000, 100], WindowWidth=[1001, 50])
    np.testing.assert_array_equal(shown(content), shown(dicom(RAMP, 12, **WINDOW)))


@pytest.mark.parametrize(
    "elements",
    [
        dict(),
        dict(WindowCenter=2000),
        dict(WindowCenter=None, WindowWidth=None),
        dict(WindowCenter=2000, WindowWidth=0),
        dict(WindowCenter=2000, WindowWidth=-5),
        dict(WindowCenter=2000, WindowWidth=0.5),
        dict(WindowCenter=2000, WindowWidth=0, VOILUTFunction="LINEAR_EXACT"),
    ],
)
def test_percentiles_where_there_is_no_window(elements):
    values = np.random.default_rng(0).permutation(1001).reshape(77, 13) * 4  # 20 and 3980
    content = dicom(values.astype(np.uint16), 12, **elements)
    assert_close(shown(content), (values - 20) * 255 / (3980 - 20))


def test_percentiles_of_rescaled_values():
    values = np.random.default_rng(0).permutation(1001).reshape(77, 13) * 4
    content = dicom(values.astype(np.uint16), 12, RescaleSlope=-0.5, RescaleIntercept=3)
    assert_close(shown(content), 255 - (values - 20) * 255 / (3980 - 20))
    wide = dicom(values.astype(np.uint32) * 10_000)  # more values than a table of 16 bits
    assert_close(shown(wide), (values - 20) * 255 / (3980 - 20))


@pytest.mark.parametrize("kind", ["MONOCHROME2", "MONOCHROME1"])
def test_padding_does_not_count_and_is_black(kind):
    """What fills the frame around the picture; its greys are those of the picture alone."""
    values = np.array([[-2000] * 3 + [0] * 3, [500] * 3 + [1000] * 3], np.int16)
    elements = dict(PhotometricInterpretation=kind, PixelPaddingValue=-2000)
    greys = np.array([0] * 3 + [127.5] * 3 + [255] * 3)
    content = dicom(values, RescaleSlope=2, RescaleIntercept=-7, **elements)
    wanted = np.concatenate([[0] * 3, greys if kind == "MONOCHROME2" else 255 - greys])
    assert_close(shown(content), wanted.reshape(2, 6))
    blank = dicom(np.full((4, 6), -2000, np.int16), **elements)
    np.testing.assert_array_equal(shown(blank), 0)


def test_constant_picture_is_black():
    np.testing.assert_array_equal(shown(dicom(np.full((4, 6), 700, np.uint16))), 0)


def test_unused_bits_are_not_read():
    content = dicom(RAMP | 0xA000, 12, **WINDOW)
    np.testing.assert_array_equal(shown(content), shown(dicom(RAMP, 12, **WINDOW)))


@pytest.mark.parametrize("elements", [WINDOW, {}])
def test_monochrome1_is_inverted(elements):
    bright = shown(dicom(RAMP, 12, **elements))
    dark = shown(dicom(RAMP, 12, PhotometricInterpretation="MONOCHROME1", **elements))
    np.testing.assert_array_equal(dark, 255 - bright)
    assert bright[0, 0] == 0 and bright[-1, -1] == 255


# ---------------------------------------------------------------- tables


def table_of(lut, first, bits, packed=False):
    item = Dataset()
    item.LUTDescriptor = [len(lut), first, bits]
    item["LUTDescriptor"].VR = "US" if first >= 0 else "SS"
    item.LUTData = np.asarray(lut, np.uint8 if packed else "<u2").tobytes()
    item["LUTData"].VR = "OW"
    return [item]


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_voi_lut(bits):
    lut = np.round(np.sqrt(np.linspace(0, 1, 1000)) * (2**bits - 1))
    # The table begins at 500 and wins over the window.
    content = dicom(RAMP, 12, VOILUTSequence=table_of(lut, 500, bits), **WINDOW)
    index = np.clip(RAMP.astype(np.int32) - 500, 0, 999)
    assert_close(shown(content), lut[index] * 255 / (2**bits - 1))


def test_voi_lut_of_bytes():
    lut = np.arange(255, -1, -1)
    content = dicom(RAMP, 12, VOILUTSequence=table_of(lut, 100, 8, packed=True))
    np.testing.assert_array_equal(shown(content), 255 - np.clip(RAMP.astype(int) - 100, 0, 255))


def test_voi_lut_after_rescale():
    lut = np.arange(1000) * 4
    content = dicom(
        RAMP,
        12,
        RescaleSlope=0.5,
        RescaleIntercept=-100,
        VOILUTSequence=table_of(lut, 200, 12),
    )
    index = np.clip(np.rint(RAMP * 0.5 - 100) - 200, 0, 999)
    assert_close(shown(content), index * 4 * 255 / 4095)


def test_modality_lut_before_the_window():
    lut = np.arange(4096)[::-1]
    item = table_of(lut, 0, 16)
    item[0].ModalityLUTType = "US"
    content = dicom(RAMP, 12, ModalityLUTSequence=item, **WINDOW)
    assert_close(shown(content), (4095 - RAMP - 1499.5) * 255 / 1000)


# ---------------------------------------------------------------- colour


def test_rgb():
    np.testing.assert_array_equal(shown(dicom(COLOURS)), COLOURS)
    by_plane = dataset(COLOURS, PlanarConfiguration=1)
    by_plane.PixelData = COLOURS.transpose(2, 0, 1).tobytes()
    np.testing.assert_array_equal(shown(written(by_plane)), COLOURS)


def test_rgb_of_16_bits():
    np.testing.assert_array_equal(shown(dicom(COLOURS.astype(np.uint16) * 257)), COLOURS)
    np.testing.assert_array_equal(shown(dicom(COLOURS.astype(np.uint16) * 16, 12)), COLOURS)


def test_ybr_full():
    ybr = convert_color_space(COLOURS, "RGB", "YBR_FULL")
    pixels = shown(dicom(ybr, PhotometricInterpretation="YBR_FULL"))
    assert np.abs(pixels.astype(int) - COLOURS).max() <= 2  # rounded on the way there and back


def test_ybr_full_422():
    ybr = convert_color_space(BLOCKS, "RGB", "YBR_FULL")  # neighbours share their colour
    data = dataset(BLOCKS, PhotometricInterpretation="YBR_FULL_422")
    pairs = ybr.reshape(-1, 2, 3)
    halved = np.stack([pairs[:, 0, 0], pairs[:, 1, 0], pairs[:, 0, 1], pairs[:, 0, 2]], axis=1)
    data.PixelData = halved.tobytes()
    assert np.abs(shown(written(data)).astype(int) - BLOCKS).max() <= 2


@pytest.mark.parametrize("bits", [8, 16])
def test_palette(bits):
    palette = np.random.default_rng(2).integers(0, 256, (3, 200))
    elements = {}
    for name, colours in zip(("Red", "Green", "Blue"), palette, strict=True):
        entries = colours.astype(np.uint8) if bits == 8 else (colours * 257).astype("<u2")
        elements[f"{name}PaletteColorLookupTableDescriptor"] = [200, 10, bits]
        elements[f"{name}PaletteColorLookupTableData"] = entries.tobytes()
    indices = np.arange(256, dtype=np.uint8).reshape(16, 16)
    pixels = shown(dicom(indices, PhotometricInterpretation="PALETTE COLOR", **elements))
    wanted = palette[:, np.clip(indices.astype(int) - 10, 0, 199)]
    np.testing.assert_array_equal(pixels, wanted.transpose(1, 2, 0))


# ---------------------------------------------------------------- encodings


@pytest.mark.parametrize(
    "syntax",
    [uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.DeflatedExplicitVRLittleEndian],
)
def test_encodings_of_the_data_set(syntax):
    data = dataset(RAMP, 12, **WINDOW)
    if syntax == uid.ExplicitVRBigEndian:
        data.PixelData = RAMP.byteswap().tobytes()
    data.file_meta.TransferSyntaxUID = syntax
    np.testing.assert_array_equal(shown(written(data)), shown(dicom(RAMP, 12, **WINDOW)))


@pytest.mark.parametrize("implicit, little", [(True, True), (False, True), (False, False)])
def test_without_preamble(implicit, little):
    data = dataset(RAMP if little else RAMP.byteswap(), 12, **WINDOW)
    del data.file_meta
    bare = io.BytesIO()
    pydicom.dcmwrite(bare, data, implicit_vr=implicit, little_endian=little)
    assert bare.getvalue()[128:132] != b"DICM"
    stored = stored_image(bare.getvalue(), ImageOptions())
    assert stored == stored_image(dicom(RAMP, 12, **WINDOW), ImageOptions())


@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEG2000Lossless])
@pytest.mark.parametrize(
    "pixels, bits", [(RAMP, 12), (RAMP.astype(np.int16) - 2048, 16), (BLOCKS, 8)]
)
def test_lossless_as_pydicom_writes_it(syntax, pixels, bits):
    data = dataset(pixels, bits)
    wanted = shown(written(data))
    if pixels.ndim == 3 and syntax == uid.JPEG2000Lossless:
        data.PhotometricInterpretation = "YBR_RCT"
    data.compress(syntax)
    np.testing.assert_array_equal(shown(written(data)), wanted)


@pytest.mark.parametrize("syntax", [uid.JPEGLossless, uid.JPEGLosslessSV1])
@pytest.mark.parametrize(
    "pixels, bits",
    [(RAMP, 12), (RAMP.astype(np.int16) - 2048, 12), (RAMP.astype(np.uint8), 8), (COLOURS, 8)],
)
def test_lossless_jpeg(syntax, pixels, bits):
    codes = pixels.view(f"u{pixels.itemsize}") & (2**bits - 1)
    colour = dict(colorspace="RGB", outcolorspace="RGB") if pixels.ndim == 3 else {}
    frame = imagecodecs.jpeg8_encode(
        codes,
        lossless=True,
        predictor=1 if syntax == uid.JPEGLosslessSV1 else 4,
        bitspersample=bits,
        **colour,
    )
    np.testing.assert_array_equal(
        shown(compressed(pixels, syntax, frame, bits)), shown(dicom(pixels, bits))
    )


@pytest.mark.parametrize("pixels, bits", [(RAMP, 12), (RAMP.astype(np.uint8), 8)])
def test_jpeg_ls(pixels, bits):
    frame = imagecodecs.jpegls_encode(pixels)
    content = compressed(pixels, uid.JPEGLSLossless, frame, bits)
    np.testing.assert_array_equal(shown(content), shown(dicom(pixels, bits)))


def test_jpeg_2000_in_its_file_format():
    frame = imagecodecs.jpeg2k_encode(RAMP, level=0, bitspersample=12)
    assert frame[4:8] == b"jP  "
    content = compressed(RAMP, uid.JPEG2000Lossless, frame, 12)
    np.testing.assert_array_equal(shown(content), shown(dicom(RAMP, 12)))
    # At a box of no length pydicom alone would stay for ever.
    content = compressed(RAMP, uid.JPEG2000Lossless, frame[:12] + bytes(len(frame) - 12), 12)
    assert fault(content) == "the image is damaged or cut short"


def test_lossy_jpeg_of_12_bits():
    frame = imagecodecs.jpeg8_encode(RAMP, 98, bitspersample=12)
    content = compressed(RAMP, uid.JPEGExtended12Bit, frame, 12, **WINDOW)
    wanted = shown(dicom(RAMP, 12, **WINDOW)).astype(int)
    assert np.abs(shown(content) - wanted).mean() < 2


@pytest.mark.parametrize("interpretation", ["YBR_FULL_422", "YBR_FULL", "RGB"])
def test_lossy_jpeg_of_colours(interpretation):
    """The JPEG itself says that it is YCbCr, which is believed."""
    frame = tf.io.encode_jpeg(BLOCKS, quality=95, chroma_downsampling=False).numpy()
    content = compressed(
        BLOCKS, uid.JPEGBaseline8Bit, frame, PhotometricInterpretation=interpretation
    )
    difference = shown(content).astype(int) - decode(frame).numpy()
    assert np.abs(difference).max() <= 3


@pytest.mark.parametrize(
    "name, same",
    [
        ("MR_small.dcm", "MR_small_RLE.dcm"),
        ("MR_small.dcm", "MR_small_implicit.dcm"),
        ("MR_small.dcm", "MR_small_bigendian.dcm"),
        ("MR_small.dcm", "MR_small_jp2klossless.dcm"),
        ("MR_small.dcm", "MR_small_jpeg_ls_lossless.dcm"),
        ("SC_rgb_rle.dcm", "SC_rgb_jpeg_gdcm.dcm"),
        ("SC_rgb_rle.dcm", "SC_rgb_rle_16bit.dcm"),
        ("SC_rgb_rle.dcm", "SC_rgb_rle_32bit.dcm"),
    ],
)
def test_files_by_other_programs(name, same):
    first, second = ((SHIPPED / file).read_bytes() for file in (name, same))
    assert first != second
    options = ImageOptions()
    assert stored_image(first, options) == stored_image(second, options)


# ---------------------------------------------------------------- what is stored


def test_stored_as_png_or_as_jpeg():
    for pixels, mode in ((RAMP, "L"), (BLOCKS, "RGB")):
        content = dicom(pixels)
        stored = stored_image(content, ImageOptions())
        picture = Image.open(io.BytesIO(stored.content))
        assert (picture.format, picture.mode) == ("PNG", mode)
        np.testing.assert_array_equal(np.asarray(picture), shown(content))
        small = stored_image(content, ImageOptions(max_image_side=16))
        picture = Image.open(io.BytesIO(small.content))
        assert (picture.format, picture.mode, max(picture.size)) == ("JPEG", mode, 16)
        assert small.pixel_hash == stored.pixel_hash


def test_hash_is_that_of_the_same_picture_as_png():
    stored = stored_image(dicom(RAMP, 12, **WINDOW), ImageOptions())
    assert stored_image(stored.content, ImageOptions()) == stored


def test_nothing_but_pixels_is_stored():
    identity = dict(
        PatientName="Mustermann^Erika",
        PatientID="PID-4711",
        PatientBirthDate="19640812",
        StudyDate="20240229",
        StudyTime="131415",
        InstitutionName="Haus Sonnenschein",
        AccessionNumber="ACC-0815",
        StudyInstanceUID="1.2.826.0.1.3680043.2.1125.77",
    )
    with_identity = dicom(RAMP, 12, ImageComments="Frau Mustermann", **identity, **WINDOW)
    without = stored_image(dicom(RAMP, 12, **WINDOW), ImageOptions())
    for options in (ImageOptions(), ImageOptions(max_image_side=32)):
        stored = stored_image(with_identity, options).content
        for value in (*identity.values(), "Mustermann"):
            assert value.encode() in with_identity and value.encode() not in stored
    assert stored_image(with_identity, ImageOptions()) == without
    content, chunks, place = without.content, [], 8
    while place < len(content):
        chunks.append(content[place + 4 : place + 8])
        place += 12 + int.from_bytes(content[place : place + 4], "big")
    assert set(chunks) == {b"IHDR", b"IDAT", b"IEND"}


# ---------------------------------------------------------------- refused


def test_size_is_checked_before_decoding():
    data = dataset(RAMP, 12)
    data.Rows, data.Columns = 3000, 4000
    wanted = "4000 x 3000 pixels are more than --max_pixels=100"
    assert fault(written(data), max_pixels=100) == wanted  # there are 4096 pixels only
    assert fault(dicom(RAMP), max_pixels=4095) == "64 x 64 pixels are more than --max_pixels=4095"
    dicom_pixels(dicom(RAMP), max_pixels=4096)


def test_several_frames():
    data = dataset(RAMP, 12, NumberOfFrames=3)
    data.PixelData = RAMP.tobytes() * 3
    assert fault(written(data)) == "has 3 frames; one is expected"
    np.testing.assert_array_equal(shown(dicom(RAMP, NumberOfFrames=1)), shown(dicom(RAMP)))


def test_no_picture():
    data = dataset(RAMP)
    del data.PixelData
    assert fault(written(data)) == "the DICOM file holds no image, or is cut short"
    report = (SHIPPED / "test-SR.dcm").read_bytes()
    assert fault(report) == "the DICOM file holds no image, or is cut short"


def test_no_dicom_without_preamble():
    plan = (SHIPPED / "rtstruct.dcm").read_bytes()
    for content in (plan, b"\x08\x00" + bytes(300), b"\x02\x00 and some text" * 20):
        assert fault(content) == "not a JPEG, PNG or DICOM image"
        with pytest.raises(BadImage, match=r"^not a JPEG, PNG or DICOM image$"):
            stored_image(content, ImageOptions())


@pytest.mark.parametrize(
    "syntax, name",
    [
        ("1.2.840.10008.1.2.4.100", "MPEG2 Main Profile / Main Level"),
        ("1.2.840.113619.5.2", "a private one"),
        ("1.2.3.4.5", "a private one"),
    ],
)
def test_encoding_that_nothing_reads(syntax, name):
    data = dataset(RAMP)
    data.file_meta.TransferSyntaxUID = uid.UID(syntax)
    data.PixelData, data["PixelData"].VR = encapsulate([bytes(4)]), "OB"
    content = io.BytesIO()
    pydicom.dcmwrite(content, data, implicit_vr=False, little_endian=True, enforce_file_format=True)
    assert fault(content.getvalue()) == f"no decoder reads its transfer syntax, {name}"


def test_decoder_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(get_decoder(uid.JPEGLosslessSV1), "_available", {})
    content = (SHIPPED / "SC_rgb_jpeg_gdcm.dcm").read_bytes()
    assert fault(content) == (
        "no decoder is installed for its transfer syntax, JPEG Lossless, Non-Hierarchical, "
        "First-Order Prediction (Process 14 [Selection Value 1]): pip install '.[dicom]'"
    )


def test_no_picture_is_decoded_by_gdcm():
    """It ends the program at a damaged image."""
    for syntax in (*uid.JPEGTransferSyntaxes, *uid.JPEGLSTransferSyntaxes, uid.JPEG2000):
        decoder = get_decoder(syntax)
        assert decoder.is_available and "gdcm" not in decoder._available | decoder._unavailable


def test_other_colours():
    content = dicom(COLOURS, PhotometricInterpretation="HSV")
    wanted = "its pixels are neither MONOCHROME1 or 2, RGB, YBR_FULL nor PALETTE COLOR"
    assert fault(content) == wanted


def test_other_voi_lut_function():
    content = dicom(RAMP, 12, VOILUTFunction="SQUARE", **WINDOW)
    assert fault(content) == "its VOI LUT function is none of LINEAR, LINEAR_EXACT and SIGMOID"


@pytest.mark.parametrize(
    "name", ["CT_small", "MR_small_RLE", "SC_rgb_jpeg_dcmtk", "SC_rgb_jpeg_gdcm", "JPEG2000"]
)
def test_truncated_anywhere(name):
    content = (SHIPPED / f"{name}.dcm").read_bytes()
    shown(content)
    for length in range(200, len(content) - 200, len(content) // 7):
        with pytest.raises(BadImage, match=r"cut short$|^not a JPEG, PNG or DICOM image$"):
            stored_image(content[:length], ImageOptions())


def test_damaged_pixels():
    encoded = [
        (uid.JPEGLosslessSV1, imagecodecs.jpeg8_encode(RAMP, lossless=True, bitspersample=12)),
        (uid.JPEGLSLossless, imagecodecs.jpegls_encode(RAMP)),
        (uid.JPEG2000Lossless, imagecodecs.jpeg2k_encode(RAMP, level=0, codecformat="j2k")),
        (uid.RLELossless, b"\1\0\0\0" * 30),
    ]
    for syntax, frame in encoded:
        content = compressed(RAMP, syntax, frame[:20] + bytes(len(frame) - 20), 12)
        assert fault(content) == "the image is damaged or cut short", syntax.name
    data = dataset(RAMP, BitsAllocated=32)  # twice the pixels that are there
    assert fault(written(data)) == "the image is damaged or cut short"


# ---------------------------------------------------------------- manners


QUIET = """
import logging, pathlib, sys
from concurrent import futures
import tensorflow as tf
from data_builders.images import BadImage, ImageOptions, stored_image

def one(content):
    try:
        return stored_image(content, ImageOptions()).pixel_hash
    except BadImage as error:
        return str(error)

logging.basicConfig()
one(tf.io.encode_jpeg(tf.zeros([8, 8, 3], tf.uint8)).numpy())
assert "pydicom" not in sys.modules
print("from here", file=sys.stderr, flush=True)
contents = [file.read_bytes() for file in sorted(pathlib.Path(sys.argv[1]).glob("*.dcm"))]
contents += [content[: len(content) // 2] + bytes(len(content) // 2) for content in contents]
with futures.ThreadPoolExecutor(4) as pool:
    results = list(pool.map(one, contents))
assert results == [one(content) for content in contents]
print(sum(isinstance(result, int) for result in results) > 50, len(results) > 100)
"""


@pytest.mark.slow
def test_quiet_and_imported_late(warm):
    """Odd and damaged files, by several threads: not a word. pydicom only where there is DICOM."""
    process = warm.start("-c", QUIET, SHIPPED)
    assert (process.wait(), process.out) == (0, "True True\n"), process.err
    assert process.err.split("from here\n")[1] == ""


# ---------------------------------------------------------------- PS3.3, where files are odd


@pytest.mark.parametrize(
    "elements",
    [
        dict(RescaleSlope=None, RescaleIntercept=None),
        dict(RescaleSlope="1", RescaleIntercept=None),
        dict(RescaleSlope=None, RescaleIntercept="0"),
        dict(PixelPaddingValue=None),
        dict(VOILUTFunction=None),
        dict(VOILUTSequence=[]),
        dict(ModalityLUTSequence=[]),
        dict(NumberOfFrames=None),
    ],
)
def test_an_empty_element_is_none(elements):
    np.testing.assert_array_equal(
        shown(dicom(RAMP, 12, **WINDOW, **elements)), shown(dicom(RAMP, 12, **WINDOW))
    )


def look_up_table(entries, first, bits, vr="US"):
    item = Dataset()
    item.add_new("LUTDescriptor", vr, [len(entries), first, bits])
    packed = np.asarray(entries, np.uint8 if bits == 8 else np.uint16).tobytes()
    item.add_new("LUTData", "OW", packed)
    return [item]


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("first", [0, 100])
def test_modality_tables_of_8_to_16_bits(bits, first):
    table = np.random.default_rng(bits).integers(0, 2**bits, 256)
    values = np.arange(400, dtype=np.uint16).reshape(20, 20)
    content = dicom(
        values,
        12,
        ModalityLUTSequence=look_up_table(table, first, bits),
        WindowCenter=2 ** (bits - 1),
        WindowWidth=2**bits,
        VOILUTFunction="LINEAR_EXACT",
    )
    wanted = table[np.clip(values.astype(int) - first, 0, 255)] / 2**bits * 255
    assert_close(shown(content), wanted)


@pytest.mark.parametrize("vr, first", [("SS", -50), ("US", 2**16 - 50)])
def test_a_modality_table_that_begins_below_zero(vr, first):
    table = np.arange(100) * 40
    values = np.arange(-80, 80, dtype=np.int16).reshape(16, 10)
    content = dicom(values, ModalityLUTSequence=look_up_table(table, first, 12, vr),
                    WindowCenter=2048, WindowWidth=4096, VOILUTFunction="LINEAR_EXACT")  # fmt: skip
    assert_close(shown(content), table[np.clip(values.astype(int) + 50, 0, 99)] / 4096 * 255)


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("window", [{}, dict(WindowCenter=50, WindowWidth=100)])
def test_a_range_of_padding_is_black(kind, window):
    values = np.array([[0, 10, 90, 100], [4000, 4090, 4095, 4050]], np.uint16)
    padding = dict(PixelPaddingValue=4095, PixelPaddingRangeLimit=4000)
    found = shown(dicom(values, 12, PhotometricInterpretation=kind, **padding, **window))
    bare = shown(dicom(values[:1], 12, PhotometricInterpretation=kind, **window))
    np.testing.assert_array_equal(found[1], 0)
    np.testing.assert_array_equal(found[0], bare[0])


def test_a_slope_of_zero_is_refused():
    assert fault(dicom(RAMP, 12, RescaleSlope=0, RescaleIntercept=5)).startswith(
        "its rescale slope"
    )


def test_wide_values_have_the_percentiles_of_numpy():
    values = np.random.default_rng(0).integers(0, 2**31, (50, 40)).astype(np.uint32)
    low, high = np.percentile(values, [0.5, 99.5])
    assert_close(shown(dicom(values, 32)), (values.astype(float) - low) * 255 / (high - low))


def test_the_sign_of_a_voi_table_does_not_hang_on_the_picture():
    """64,536 is -1,000 where values may be negative (PS3.3 C.11.2.1.1), whichever occur."""
    table = np.arange(1500) * 255 // 1499
    for low in (900, 1030):
        values = np.arange(low, low + 300, dtype=np.uint16).reshape(15, 20)
        voi = look_up_table(table, 64_536, 8)
        content = dicom(values, 12, RescaleSlope=1, RescaleIntercept=-1024, VOILUTSequence=voi)
        assert_close(shown(content), table[values.astype(int) - 1024 + 1000])


def test_a_padding_value_that_no_pixel_can_have():
    values = np.array([[0, 100], [200, 255]], np.uint8)
    content = dicom(values, 8, PixelPaddingValue=0xFF00, PhotometricInterpretation="MONOCHROME1")
    assert shown(content)[0, 0] == 255
