"""Files of under 5 MB that would take gigabytes of a reader without limits."""

import io
import struct
import zlib

import numpy as np
import tensorflow as tf
from PIL import Image

from data_builders.reading import exif, jpeg, png


def flat_png(side, bits, colour_type, channels, turned=1):
    """A PNG of zeros."""
    row = bytes(1 + -(-side * channels * bits // 8))
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, bits, colour_type, 0, 0, 0)
    extra = png.chunk(b"eXIf", exif.block_of(turned)) if turned != 1 else b""
    return (
        png.SIGNATURE + png.chunk(b"IHDR", header) + extra + png.chunk(b"IDAT", data)
        + png.chunk(b"IEND", b"")
    )  # fmt: skip


def flat_jpeg(side, mode, **options):
    """A JPEG of one colour."""
    file = io.BytesIO()
    Image.new(mode, (side, side)).save(file, "JPEG", **options)
    return file.getvalue()


def large_by_header():
    """A JPEG of 8 x 8 pixels that says it has 65,500 x 65,500."""
    content = tf.io.encode_jpeg(np.zeros((8, 8, 3), np.uint8)).numpy()
    start = next(part.start for part in jpeg.parts(content) if part.marker == 0xC0)
    return content[: start + 5] + struct.pack(">HH", 65_500, 65_500) + content[start + 9 :]


def many_segments():
    """A JPEG with a million segments before its first table."""
    content = tf.io.encode_jpeg(np.zeros((8, 8, 3), np.uint8)).numpy()
    return content[:2] + b"\xff\xe5\x00\x02" * 1_000_000 + content[2:]


def text_bomb():
    """A small PNG with half a gigabyte of text."""
    packer = zlib.compressobj(1)
    text = b"".join(packer.compress(bytes(1 << 24)) for _ in range(32)) + packer.flush()
    plain = flat_png(8, 8, 0, 1)
    return plain[:33] + png.chunk(b"zTXt", b"Comment\0\0" + text) + plain[33:]


def deflated_dicom(rows, bits, length=None):
    """A deflated DICOM file of zeros; `length` is that of its pixels, if another than stated."""
    from pydicom import uid

    body, header = _dicom(rows, bits, uid.DeflatedExplicitVRLittleEndian)
    length = length or rows * rows * bits // 8
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    pixels = b"\xe0\x7f\x10\x00OW\0\0" + struct.pack("<I", length)
    packed = [packer.compress(body + pixels)]
    while length:
        some = min(length, 1 << 24)
        packed.append(packer.compress(bytes(some)))
        length -= some
    return header + b"".join(packed) + packer.flush()


def encapsulated_dicom(frame, syntax, rows=24):
    """A DICOM file of 8 bits with a compressed frame."""
    body, header = _dicom(rows, 8, syntax)
    frame += b"\0" * (len(frame) % 2)
    pixels = b"\xe0\x7f\x10\x00OB\0\0" + b"\xff" * 4 + b"\xfe\xff\x00\xe0" + bytes(4)
    pixels += b"\xfe\xff\x00\xe0" + struct.pack("<I", len(frame)) + frame
    return header + body + pixels + b"\xfe\xff\xdd\xe0" + bytes(4)


def _dicom(rows, bits, syntax):
    """(data set without pixels, preamble and file meta information)."""
    import pydicom
    from pydicom import uid
    from pydicom.dataset import Dataset, FileMetaDataset

    data, found = Dataset(), []
    data.file_meta = FileMetaDataset()
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    data.Rows = data.Columns = rows
    data.BitsAllocated = data.BitsStored = bits
    data.HighBit, data.PixelRepresentation, data.SamplesPerPixel = bits - 1, 0, 1
    data.PhotometricInterpretation = "MONOCHROME2"
    for transfer in (uid.ExplicitVRLittleEndian, syntax):
        data.file_meta.TransferSyntaxUID = transfer
        file = io.BytesIO()
        if transfer.is_encapsulated:
            data.PixelData = pydicom.encaps.encapsulate([b"\0\0"])
        pydicom.dcmwrite(file, data, enforce_file_format=True)
        content = file.getvalue()
        length = int.from_bytes(content[140:144], "little")  # of the meta information after it
        found.append((content[144 + length :], content[: 144 + length]))
    return found[0][0], found[1][1]


def jpeg_2000(width, height, tile):
    """The beginning of a codestream of one component."""
    size = struct.pack(">HIIIIIIIIH", 0, width, height, 0, 0, tile, tile, 0, 0, 1) + b"\x07\x01\x01"
    return b"\xff\x4f\xff\x51" + struct.pack(">H", len(size) + 2) + size + b"\xff\xd9"


def rle(length):
    """An RLE frame of one segment whose 2 bytes each become 128."""
    return struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\x00" * (length // 2)


def all_of_them(side):
    """{name: bytes}; those that may be accepted have side x side pixels."""
    from pydicom import uid

    return {
        "PNG of 1.6 billion pixels": flat_png(40_000, 1, 0, 1),
        "PNG": flat_png(side, 8, 2, 3),
        "turned PNG with alpha": flat_png(side, 8, 6, 4, turned=6),
        "colour PNG of 16 bits with alpha": flat_png(side, 16, 6, 4),
        "PNG with 512 MB of text": text_bomb(),
        "progressive JPEG": flat_jpeg(side, "RGB", progressive=True, subsampling=0),
        "progressive CMYK JPEG": flat_jpeg(side, "CMYK", progressive=True),
        "JPEG of 4 billion pixels": large_by_header(),
        "JPEG of a million segments": many_segments(),
        "deflated DICOM of a GB": deflated_dicom(24, 16, 1 << 30),
        "deflated DICOM": deflated_dicom(side, 16),
        "deflated DICOM of 32 bits": deflated_dicom(side, 32),
        "DICOM with RLE of 300 MB": encapsulated_dicom(rle(4_800_000), uid.RLELossless),
        "DICOM with JPEG 2000 of 4 billion pixels": encapsulated_dicom(
            jpeg_2000(65_000, 65_000, 65_000), uid.JPEG2000
        ),
        "DICOM with JPEG 2000 of 60,000 tiles": encapsulated_dicom(
            jpeg_2000(4_900, 4_900, 20), uid.JPEG2000, 4_900
        ),
        "DICOM with JPEG-LS of 4 billion pixels": encapsulated_dicom(
            b"\xff\xd8\xff\xf7\x00\x0b\x08" + struct.pack(">HH", 65_000, 65_000)
            + b"\x01\x01\x11\x00\xff\xda\x00\x08\x01\x01\x00\x00\x00\x00" + bytes(64) + b"\xff\xd9",
            uid.JPEGLSLossless,
        ),
    }  # fmt: skip
