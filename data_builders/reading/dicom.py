"""The picture in a DICOM file, in 8 bits, and nothing else of the file.

    stored values -> modality LUT or rescale slope and intercept -> VOI LUT, window or
    percentiles -> 0 ... 255 -> inverted if MONOCHROME1

Pixels of PixelPaddingValue, which only fill the frame around a picture, take no part in
percentiles and are black. An element that is present but empty counts as absent.

Only the elements that describe pixels are parsed, so that no name, number or date of a
patient is ever in memory as such, let alone in a message. Needs the extra `dicom`; imported
by `data_builders/images.py` when the first DICOM file turns up.
"""

import io
import logging
import math
import warnings

import numpy as np
import pydicom
from pydicom import uid
from pydicom.encaps import get_frame
from pydicom.multival import MultiValue
from pydicom.pixels import apply_color_lut, get_decoder

from data_builders.reading.dicom_limits import check_codestream, inflated
from data_builders.reading.pixels import (
    DAMAGED,
    PIXELS_AT_ONCE,
    BadImage,
    check_pixels,
    counts_of,
    percentile_window,
    to_8_bits,
)

try:
    import imagecodecs
except ImportError:
    imagecodecs = None  # type: ignore[assignment]  # asked for before it is used

# pydicom reports oddities of a file twice, and with what the file holds. A file that can be
# read needs no warning, and one that cannot is a `BadImage`.
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
warnings.filterwarnings("ignore", module="pydicom")

_PALETTE = [
    f"{kind}{colour}PaletteColorLookupTable{part}"
    for colour in ("Red", "Green", "Blue")
    for kind, part in (("", "Descriptor"), ("", "Data"), ("Segmented", "Data"))
]
_ELEMENTS = [
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PlanarConfiguration"),
    *("PhotometricInterpretation", "BitsAllocated", "BitsStored", "PixelRepresentation"),
    *("PixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
    *("PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept"),
    *("VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction"),
    *_PALETTE,
]


def dicom_pixels(content: bytes, max_pixels: int):
    """Decodes the picture in a DICOM file.

    The first VOI LUT is used, else the first window, else, and where the window's width is
    none that its function allows, `percentile_window` over the rescaled values.

    Args:
      content: all bytes of the file, with or without preamble.
      max_pixels: a larger picture is refused before it is decoded.

    Returns:
      uint8 array: [h, w] for MONOCHROME1 and MONOCHROME2, where 0 is always what is shown
      black; [h, w, 3] RGB for RGB, YBR_FULL, YBR_FULL_422, what JPEG 2000 makes of RGB, and
      PALETTE COLOR.

    Raises:
      BadImage: no DICOM file, no picture or several, too large, damaged, or in an encoding
        that cannot be decoded.
    """
    try:
        content = inflated(content, max_pixels)
        data = pydicom.dcmread(io.BytesIO(content), force=True, specific_tags=_ELEMENTS)
        # Where a file is cut in its pixels, pydicom may leave them out and not complain.
        if "Rows" not in data or "PixelData" not in data:
            if content[128:132] == b"DICM":
                raise BadImage("the DICOM file holds no image, or is cut short")
            raise BadImage("not a JPEG, PNG or DICOM image")
        return _picture(data, max_pixels)
    except (BadImage, MemoryError):
        raise
    except Exception:  # pydicom raises nearly every kind for a damaged file
        raise BadImage(DAMAGED) from None


def says_padding_or_lut(start: bytes):
    """Whether a file has padding, a modality LUT, or a VOI LUT that may begin below zero, by its
    first bytes, up to its pixels."""
    try:
        body = inflated(start, max_pixels=0, cut=True)
        data = pydicom.dcmread(
            io.BytesIO(body), force=True, stop_before_pixels=True,
            specific_tags=["PixelPaddingValue", "ModalityLUTSequence", "VOILUTSequence"],
        )  # fmt: skip
        padding = _first(data.get("PixelPaddingValue"))
        table = _table(data, "VOILUTSequence")
        below_zero = table is not None and not 0 <= table[1] < 2**15
        return padding is not None or bool(data.get("ModalityLUTSequence")) or below_zero
    except Exception:  # as in `dicom_pixels`, which will name it
        return False


def _picture(data, max_pixels):
    frames = int(data.get("NumberOfFrames") or 1)
    if frames > 1:
        raise BadImage(f"has {frames} frames; one is expected")
    samples = int(data.get("SamplesPerPixel") or 1)
    data.SamplesPerPixel = samples
    check_pixels(data.Rows, data.Columns, max_pixels)
    decoder = _decoder(data)
    if decoder.is_encapsulated:
        frame = get_frame(data.PixelData, 0, number_of_frames=1)
        check_codestream(frame, decoder.UID, data.Rows * data.Columns, samples, max_pixels)
    pixels, made = decoder.as_array(data, allow_excess_frames=False)

    kind = made["photometric_interpretation"]
    if kind in ("MONOCHROME1", "MONOCHROME2") and pixels.ndim == 2:
        return _grey(pixels, data, inverted=kind == "MONOCHROME1")
    if kind == "PALETTE COLOR" and pixels.ndim == 2:
        bits = data.RedPaletteColorLookupTableDescriptor[2]
        return (apply_color_lut(pixels, data) >> max(bits - 8, 0)).astype(np.uint8)
    if kind == "RGB" and pixels.ndim == 3:
        return (pixels >> max(made["bits_stored"] - 8, 0)).astype(np.uint8)
    raise BadImage("its pixels are neither MONOCHROME1 or 2, RGB, YBR_FULL nor PALETTE COLOR")


# ---------------------------------------------------------------- grey values


def _grey(stored, data, inverted):
    """[h, w] uint8 as shown.

    What is done to a value depends on nothing but the value: it is computed once for each
    value that occurs, not for each pixel.
    """
    low, high = int(stored.min()), int(stored.max())
    if high - low < 2**16:
        levels = np.arange(low, high + 1)
        place = lambda part: part.astype(np.int64) - low
    else:
        levels = np.unique(stored)
        place = lambda part: np.searchsorted(levels, part)
    padding = _is_padding(levels, data, stored.dtype)
    values, signed = _modality(levels, data)
    shown = _voi_lut(values, data, signed)
    if shown is None:
        shown = _window(values, data)
    if shown is None:
        counts = counts_of(stored, len(levels), place)
        if counts[~padding].any():
            counts[padding] = 0
        order = np.argsort(values, kind="stable")  # a slope or a LUT may fall
        shown = to_8_bits(values, *percentile_window(values[order], counts[order]))
    shown = np.where(padding, 0, 255 - shown if inverted else shown).astype(np.uint8)
    picture, flat = np.empty(stored.size, np.uint8), stored.reshape(-1)
    for start in range(0, flat.size, PIXELS_AT_ONCE):
        part = slice(start, start + PIXELS_AT_ONCE)
        picture[part] = shown[place(flat[part])]
    return picture.reshape(stored.shape)


def _is_padding(levels, data, dtype):
    """[n] bool: which levels fill the frame (PS3.3 C.7.5.1.1.2), a value or a range of them."""
    stated = [_first(data.get(f"PixelPadding{name}")) for name in ("Value", "RangeLimit")]
    if stated[0] is None:
        return np.zeros(len(levels), bool)
    # Some files state a signed value as an unsigned one, or the other way round.
    bits = data.BitsAllocated
    ends = [int(value) for value in stated if value is not None]
    if not all(-(2 ** (bits - 1)) <= end < 2**bits for end in ends):  # of other pixels than these
        return np.zeros(len(levels), bool)
    ends = [end % 2**bits for end in ends]
    if dtype.kind == "i":
        ends = [end - 2**bits if end >= 2 ** (bits - 1) else end for end in ends]
    return (levels >= min(ends)) & (levels <= max(ends))


def _modality(levels, data):
    """Stored values to what the device measured (PS3.3 C.11.1).

    Returns:
      ([n] numbers, whether they may be negative, by the file and not by what occurs in it).
    """
    signed = bool(data.get("PixelRepresentation"))
    table = _table(data, "ModalityLUTSequence")
    if table:
        return _looked_up(levels, table, signed).astype(np.float64), False
    slope, intercept = (_first(data.get(f"Rescale{name}")) for name in ("Slope", "Intercept"))
    if slope == 0:
        raise BadImage("its rescale slope is 0, which leaves no picture")
    if slope is None and intercept is None:
        return levels, signed
    slope, intercept = (1.0 if slope is None else slope), intercept or 0.0
    return levels * slope + intercept, signed or slope < 0 or intercept < 0


def _voi_lut(values, data, signed):
    """Values through the first VOI LUT, uint8; None if there is none."""
    table = _table(data, "VOILUTSequence")
    if not table:
        return None
    return to_8_bits(_looked_up(values, table, signed), 0, 2 ** table[2] - 1)


def _table(data, name):
    """(entries [n], first value mapped, bits) of a sequence's first LUT; None if it has none.

    Not pydicom's `apply_modality_lut` and `apply_voi`: they read a table of 12 bits as one of 8,
    and count through one of 8 in 8 bits, so that only its first 256 entries are ever used.
    """
    item = data.get(name)[0] if data.get(name) else {}
    descriptor, lut = item.get("LUTDescriptor"), item.get("LUTData")
    if not descriptor or len(descriptor) != 3 or lut is None or not len(lut):
        return None
    entries, first, bits = (int(value) for value in descriptor)
    entries = entries % 2**16 or 2**16  # stated as a signed number it may be negative
    if isinstance(lut, bytes):
        order = "<" if data.original_encoding[1] else ">"
        lut = np.frombuffer(lut, np.uint8 if len(lut) < 2 * entries else f"{order}u2")
    lut = np.atleast_1d(lut).astype(np.int64) % 2**16
    if not 8 <= bits <= 16 or len(lut) < entries:
        raise BadImage("its look-up table is damaged")
    return lut[:entries], first, bits


def _looked_up(values, table, signed):
    """Values through a table; those outside get its first or last entry."""
    lut, first, _ = table
    if signed and first >= 2**15:  # the two kinds of number share a place in the file
        first -= 2**16
    return lut[np.clip(np.rint(values) - first, 0, len(lut) - 1).astype(np.int64)]


def _window(values, data):
    """Values through the first window (PS3.3 C.11.2.1), uint8; None if there is none."""
    center, width = (_first(data.get(name)) for name in ("WindowCenter", "WindowWidth"))
    function = data.get("VOILUTFunction") or "LINEAR"
    if center is None or width is None or width <= 0 or (function == "LINEAR" and width < 1):
        return None
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    elif function == "SIGMOID":  # 1 / (1 + exp(-4 x)), which overflows, by another name
        return np.rint(127.5 * (1 + np.tanh(2 * (values - center) / width))).astype(np.uint8)
    elif function != "LINEAR_EXACT":
        raise BadImage("its VOI LUT function is none of LINEAR, LINEAR_EXACT and SIGMOID")
    return to_8_bits(values, center - width / 2, center + width / 2)


def _first(value):
    """A number of one or of several, as a float; None if there is none."""
    if isinstance(value, (MultiValue, list, tuple)):
        value = value[0] if len(value) else None
    if value in (None, "", b""):
        return None
    value = float(value)
    return value if math.isfinite(value) else None


# ---------------------------------------------------------------- decoders


def _decoder(data):
    """pydicom's decoder for the file's transfer syntax; raises BadImage if there is none."""
    syntax = data.file_meta.get("TransferSyntaxUID")
    if not syntax:  # a file without header: pydicom has seen how its elements are written
        implicit, little = data.original_encoding
        explicit = uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian
        syntax = uid.ImplicitVRLittleEndian if implicit else explicit
        data.file_meta.TransferSyntaxUID = syntax
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise BadImage(f"no decoder reads its transfer syntax, {_name(syntax)}") from None
    if not decoder.is_available:
        raise BadImage(
            f"no decoder is installed for its transfer syntax, {_name(syntax)}: "
            "pip install '.[dicom]'"
        )
    return decoder


def _name(syntax):
    """What the standard calls a transfer syntax; a number that it does not know is not quoted."""
    return "a private one" if syntax.is_private or syntax.name == str(syntax) else syntax.name


# pydicom's own plug-ins leave three JPEG processes, among them lossless JPEG, the usual one of
# X-ray archives, to GDCM and to libjpeg. GDCM ends the whole program at a damaged image and so
# is not used even where it is installed; libjpeg is GPL. imagecodecs reads them with
# libjpeg-turbo. The two names are what pydicom asks of a module with a plug-in.
DECODER_DEPENDENCIES = {
    uid.JPEGExtended12Bit: ("imagecodecs",),
    uid.JPEGLossless: ("imagecodecs",),
    uid.JPEGLosslessSV1: ("imagecodecs",),
}


def is_available(syntax):
    """Whether `_decode_jpeg` can be used; asked by pydicom."""
    return imagecodecs is not None and syntax in DECODER_DEPENDENCIES


def _decode_jpeg(frame, runner):
    """Bytes of a JPEG frame's components, in no other colour space than they are stored in."""
    colours = dict(colorspace="RGB", outcolorspace="RGB") if runner.samples_per_pixel == 3 else {}
    components = imagecodecs.jpeg8_decode(frame, **colours)
    runner.set_option("bits_allocated", 8 * components.dtype.itemsize)
    runner.set_option("planar_configuration", 0)
    return components.tobytes()


def _arrange_decoders():
    compressed = (*uid.JPEGTransferSyntaxes, *uid.JPEGLSTransferSyntaxes)
    for syntax in (*compressed, uid.JPEG2000, uid.JPEG2000Lossless):
        get_decoder(syntax).remove_plugin("gdcm")
    for syntax in DECODER_DEPENDENCIES:
        get_decoder(syntax).add_plugin("imagecodecs", (__name__, "_decode_jpeg"))


_arrange_decoders()
