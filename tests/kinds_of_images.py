"""Pictures of every kind that a folder of photos may hold, small, as bytes."""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps

from data_builders.reading import exif, png

ORIENTATIONS = range(1, 9)


def picture(height=47, width=61, seed=0):
    """[h, w, 3] uint8, smooth and without any symmetry."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.BICUBIC))


def saved(pixels, encoding, mode=None, turned=0, **options):
    """What Pillow writes; with `turned`, an EXIF block that states this orientation."""
    image, file = Image.fromarray(pixels), io.BytesIO()
    image = image.convert(mode) if mode else image
    if turned:
        block = Image.Exif()
        block[0x010F], block[0x0112] = "maker", turned
        options["exif"] = block
    image.save(file, encoding, **options)
    return file.getvalue()


def upright(content):
    """[h, w, 3] uint8: what a viewer shows, by Pillow."""
    return np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB"))


def with_position(content):
    """The JPEG with an EXIF block that says where it was taken, and XMP and a comment."""
    block = Image.Exif()
    block[0x0112] = 6
    block.get_ifd(0x8825).update({1: "N", 2: (48.0, 12.0, 30.0), 3: "E", 4: (16.0, 22.0, 0.0)})
    block = exif.PREFIX + block.tobytes().removeprefix(exif.PREFIX)
    xmp = b"http://ns.adobe.com/xap/1.0/\0<x exif:GPSLatitude='48,12N' patient='Jane'/>"
    segments = [(0xE1, block), (0xE1, xmp), (0xFE, b"a comment"), (0xED, b"Photoshop 3.0\0Jane")]
    made = b"".join(bytes([0xFF, m]) + struct.pack(">H", len(s) + 2) + s for m, s in segments)
    return content[:2] + made + content[2:]


def png_of(pixels, bits, colour_type, palette=None):
    """A PNG written chunk by chunk, unfiltered, in any number of bits."""
    height, width = pixels.shape[:2]
    rows = []
    for row in pixels.reshape(height, -1):
        if bits == 16:
            rows.append(row.astype(">u2").tobytes())
        else:
            digits = np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, 8 - bits :]
            rows.append(np.packbits(digits.reshape(-1)).tobytes())
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0))]
    chunks += [(b"PLTE", palette)] if palette else []
    chunks += [(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))), (b"IEND", b"")]
    return png.SIGNATURE + b"".join(png.chunk(*c) for c in chunks)


def ycck(content):
    """A CMYK JPEG of Pillow's, called YCCK by its Adobe marker: other colours, as whole."""
    place = content.index(b"Adobe")
    return content[: place + 11] + b"\x02" + content[place + 12 :]


def mpo(turned=0):
    """Two pictures in one file, as phones and stereo cameras write them."""
    file, first, second = io.BytesIO(), *(Image.fromarray(picture(seed=k)) for k in (3, 4))
    options = {}
    if turned:
        options["exif"] = block = Image.Exif()
        block[0x0112] = turned
    first.save(file, "MPO", save_all=True, append_images=[second], **options)
    return file.getvalue()


def accepted():
    """{name: bytes} of what `prepare` takes."""
    colour = picture()
    grey, wide = colour[..., 0], picture(1, 3000)
    photo = saved(colour, "JPEG")
    place = photo.index(b"\xff\xdb")
    found = {
        f"{encoding} turned {turned}": saved(colour, encoding, turned=turned)
        for encoding in ("JPEG", "PNG")
        for turned in ORIENTATIONS
    }
    found |= {
        f"{mode or 'RGB'} {name} turned {turned}": saved(
            colour, "JPEG", mode, turned=turned, **options
        )
        for mode, name, options in (
            ("L", "grey", {}),
            ("CMYK", "", {}),
            (None, "progressive", {"progressive": True}),
            (None, "4:4:4", {"subsampling": 0}),
            (None, "restarts", {"restart_marker_rows": 1}),
        )
        for turned in (1, 3, 6, 7)
    }
    found |= {f"MPO turned {turned}": mpo(turned) for turned in (0, 8)}
    found |= {f"grey PNG of {b} bits": png_of(grey >> (8 - b), b, 0) for b in (1, 2, 4, 8)}
    palette = bytes(np.random.default_rng(1).integers(0, 256, 3 * 256, np.uint8))
    found |= {
        f"palette of {b} bits": png_of(grey >> (8 - b), b, 3, palette[: 3 * 2**b])
        for b in (1, 2, 4, 8)
    }
    found |= {
        "PNG with alpha": saved(np.dstack([colour, grey]), "PNG", turned=6),
        "grey PNG with alpha": saved(np.dstack([colour, grey]), "PNG", "LA"),
        "one pixel, JPEG": saved(colour[:1, :1], "JPEG", turned=5),
        "one pixel, PNG": saved(colour[:1, :1], "PNG", turned=5),
        "1 x 3000, JPEG": saved(wide, "JPEG", turned=8),
        "1 x 3000, PNG": saved(wide, "PNG", turned=6),
        "YCCK": ycck(saved(colour, "JPEG", "CMYK")),
        "with a position": with_position(photo),
        "bytes before a marker": photo[:place] + bytes(40) + photo[place:],
        "bytes before the end": photo[:-2] + bytes(12) + photo[-2:],
        "bytes after the end": photo + b"junk" * 9,
        "little-endian EXIF": _with_block(photo, _little_endian(6)),
        "EXIF that states nonsense": _with_block(photo, exif.block_of(9)),
        "EXIF cut short": _with_block(photo, exif.block_of(6)[:18]),
        "marked before": with_mark(photo),
    }  # fmt: skip
    return found


def refused():
    """{name: bytes} of what `prepare` and an export refuse by a file's header or its end."""
    colour = picture()
    photo, image = saved(colour, "JPEG"), saved(colour, "PNG")
    frame = photo.index(b"\xff\xc0")
    return {
        "nothing": b"",
        "text": b"hello",
        "GIF": saved(colour, "GIF"),
        "BMP": saved(colour, "BMP"),
        "TIFF": saved(colour, "TIFF"),
        "WebP": saved(colour, "WEBP"),
        "JPEG without its end": photo[:-2],
        "JPEG cut in its last rows": photo[:-40],
        "JPEG cut in its header": photo[: frame + 8],
        "JPEG of 12 bits": photo[: frame + 4] + b"\x0c" + photo[frame + 5 :],
        "lossless JPEG": photo[: frame + 1] + b"\xc3" + photo[frame + 2 :],
        "arithmetic JPEG": photo[: frame + 1] + b"\xc9" + photo[frame + 2 :],
        "JPEG-LS": photo[: frame + 1] + b"\xf7" + photo[frame + 2 :],
        "PNG without its end": image[:-12],
        "PNG cut short": image[:-40],
        "PNG cut in its header": image[:20],
    }


def with_mark(content):
    """A JPEG that was stored as turned and then lost its EXIF."""
    return content[:2] + b"\xff\xef\x00\x0bupright\0\x06" + content[2:]


def _with_block(content, block):
    block = exif.PREFIX + block
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + content[2:]


def _little_endian(turned):
    return b"II*\0" + struct.pack("<IHHHIII", 8, 1, 0x0112, 3, 1, turned, 0)
