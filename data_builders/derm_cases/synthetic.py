"""Synthetic skin cases: rendered lesions, each photographed several times.

Nothing here is a diagnosis. A class is a look, and the look belongs to the case: outline,
border, texture, pigment and skin tone are the same in all its photos. Pose, zoom, light, focus,
noise and whatever lies around the lesion (cloth, ruler, hairs, pen, lens rim) belong to the
photo, and no crop, flip or colour change turns one photo of a case into another. So two views
of one photo agree in much that says nothing about the lesion, while two photos of one case
agree in little else: the situation that MICLe (Azizi et al., 2021, Algorithm 1) is made for.

Every picture is a pure function of (seed, case, photo) and is rendered when it is read.
"""

import dataclasses
import functools
import struct
import zlib
from collections.abc import Mapping

import numpy as np

from data_builders.case_builder import UNLABELLED, Case, CaseImage

CLASS_NAMES = (
    "synthetic smooth",
    "synthetic dotted",
    "synthetic ring",
    "synthetic netted",
    "synthetic two-tone",
    "synthetic streaked",
    "synthetic target",
    "synthetic cluster",
)
PATIENTS_PER_SPLIT = {"train": 1340, "validation": 240, "test": 800}
IMAGE_SIZE = 48  # pixels, both ways

# Long-tailed: the first class is about five times as frequent as the last.
_CLASS_SHARE = 0.8 ** np.arange(len(CLASS_NAMES))
_CLASS_SHARE /= _CLASS_SHARE.sum()
_CASES_PER_PATIENT = (0.6, 0.3, 0.1)  # of 1, 2, 3
_PHOTOS_PER_CASE = (0.12, 0.28, 0.28, 0.18, 0.09, 0.05)  # of 1 to 6
_UNLABELLED_SHARE = 0.15  # of the train cases
_AGE_GROUPS, _AGE_SHARES = ("18-39", "40-59", "60-79", "80+"), (0.3, 0.35, 0.25, 0.1)

_PROP_SHARES = {  # how many photos have it
    "cloth": 0.4, "ruler": 0.25, "pen": 0.25, "rim": 0.2, "shadow": 0.2, "glare": 0.2}

# One random stream per purpose: the first number of every seed sequence.
_PATIENT, _CASE, _LESION, _PHOTO, _SHUFFLE = range(1, 6)

_SKIN_TONES = np.array(  # RGB in [0, 1], skin types I to VI
    [[0.95, 0.80, 0.73], [0.91, 0.74, 0.64], [0.84, 0.66, 0.53],
     [0.73, 0.54, 0.41], [0.58, 0.40, 0.29], [0.42, 0.28, 0.21]], np.float32)
_PIGMENTS = np.array(  # RGB factors on the skin tone: brown, dark, red, pink, violet, slate
    [[0.60, 0.45, 0.36], [0.38, 0.29, 0.27], [0.82, 0.38, 0.35],
     [0.92, 0.60, 0.60], [0.60, 0.40, 0.56], [0.48, 0.50, 0.56]], np.float32)
_CLOTHS = np.array(
    [[0.25, 0.48, 0.68], [0.32, 0.60, 0.50], [0.90, 0.90, 0.88], [0.20, 0.22, 0.28],
     [0.70, 0.30, 0.34], [0.80, 0.70, 0.45]], np.float32)
_INKS = np.array([[0.20, 0.12, 0.50], [0.10, 0.10, 0.12], [0.05, 0.35, 0.25]], np.float32)

_AXIS = np.linspace(-1, 1, IMAGE_SIZE, dtype=np.float32)
_X, _Y = np.meshgrid(_AXIS, _AXIS)
_PIXEL = 2 / IMAGE_SIZE  # in the units of _X and _Y


@dataclasses.dataclass(frozen=True)
class _Lesion:
    """What belongs to the case. Lengths are in radii of the lesion."""

    name: str  # of its class, without "synthetic"
    skin: np.ndarray  # RGB in [0, 1], as all colours here
    pigment: np.ndarray  # the lesion's colour
    accent: np.ndarray  # the colour of its texture
    stretch: float
    outline: tuple[tuple[int, float, float], ...]  # harmonic, amplitude, phase
    softness: float
    spots: np.ndarray  # [n, 3]: x, y, radius
    detail: np.ndarray  # three numbers in [0, 1] that vary the texture in a class


@dataclasses.dataclass(frozen=True)
class _Photo:
    """What belongs to the photo. Lengths are in half widths of the picture."""

    radius: float = 0.62
    angle: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)
    tilt: float = 1.0
    light: tuple[float, float] = (0.0, 0.0)  # change of brightness per half width
    cast: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gamma: float = 1.0
    defocus: int = 0
    noise: float = 0.0
    grain: tuple[float, float, float] = (0.0, 0.0, 0.0)  # skin lines: amplitude, frequency, angle
    props: tuple[str, ...] = ()
    hairs: int = 0


def synthetic_cases(
    seed: int = 0,
    photo_variation: bool = True,
    shuffle_case_ids: bool = False,
    patients_per_split: Mapping[str, int] | None = None,
) -> dict[str, list[Case]]:
    """Makes the cases of every split; pictures are rendered when they are read.

    Args:
      seed: everything is a function of it, >= 0.
      photo_variation: False is a control: every photo is taken in the same way (frontal, even
        light, plain skin), so the photos of a case are equal, pixel for pixel.
      shuffle_case_ids: True is a control: the photos of the train split are dealt to its cases
        at random. Cases keep their sizes, photos their ids and labels; validation and test
        stay as they are.
      patients_per_split: how many patients each split has; `PATIENTS_PER_SPLIT` if None (about
        2,000, 360 and 1,200 cases). A patient has 1 to 3 cases, a case 1 to 6 photos.

    Returns:
      The cases of "train", "validation" and "test", in the order of the patients.
      `CaseImage.read` gives an RGB PNG of `IMAGE_SIZE` pixels.
    """
    counts = PATIENTS_PER_SPLIT if patients_per_split is None else patients_per_split
    splits, patient, case = {}, 0, 0
    for split, count in counts.items():
        cases = []
        for patient in range(patient, patient + count):
            rng = _rng(_PATIENT, seed, patient)
            skin_type = int(rng.integers(6))
            age_group = str(rng.choice(_AGE_GROUPS, p=_AGE_SHARES))
            for _ in range(1 + rng.choice(3, p=_CASES_PER_PATIENT)):
                attributes = {"skin_type": str(skin_type + 1), "age_group": age_group}
                cases.append(_make_case(
                    seed, case, f"patient{patient:05d}", skin_type, attributes,
                    unlabelled=_UNLABELLED_SHARE if split == "train" else 0.0,
                    photo_variation=photo_variation))
                case += 1
        patient += 1
        splits[split] = cases
    if shuffle_case_ids and splits.get("train"):
        splits["train"] = _deal_photos(splits["train"], _rng(_SHUFFLE, seed))
    return splits


def _rng(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


def _make_case(seed, index, patient_id, skin_type, attributes, *, unlabelled, photo_variation):
    rng = _rng(_CASE, seed, index)
    label = int(rng.choice(len(CLASS_NAMES), p=_CLASS_SHARE))
    num_photos = 1 + int(rng.choice(6, p=_PHOTOS_PER_CASE))
    known = rng.random() >= unlabelled
    case_id = f"case{index:06d}"
    images = []
    for photo in range(num_photos):
        close_up = bool(rng.random() < 0.6)
        images.append(CaseImage(
            image_id=f"{case_id}_{photo}",
            read=functools.partial(
                _read, seed, index, photo, label, skin_type,
                close_up=close_up, photo_variation=photo_variation),
            view_position="close-up" if close_up or not photo_variation else "overview",
            class_label=label if known else UNLABELLED,
            source=f"synthetic {case_id} photo {photo}"))
    return Case(case_id, patient_id, tuple(images), attributes)


def _deal_photos(cases, rng):
    photos = [photo for case in cases for photo in case.images]
    dealt = iter(rng.permutation(len(photos)))
    return [
        dataclasses.replace(case, images=tuple(photos[next(dealt)] for _ in case.images))
        for case in cases]


def _read(seed, case, photo, label, skin_type, *, close_up, photo_variation):
    lesion = _draw_lesion(_rng(_LESION, seed, case), label, skin_type)
    rng = _rng(_PHOTO, seed, case, photo)
    how = _draw_photo(rng, close_up) if photo_variation else _Photo()
    return _png(_render(lesion, how, rng))


def _draw_lesion(rng, label, skin_type):
    name = CLASS_NAMES[label].removeprefix("synthetic ")
    skin = _SKIN_TONES[skin_type] * (1 + rng.normal(0, 0.03, 3))
    factor = _PIGMENTS[rng.integers(len(_PIGMENTS))] * (1 + rng.normal(0, 0.06, 3))
    strength = rng.uniform(0.7, 1.0)
    pigment = skin * (1 - strength + strength * factor)
    # Texture darker or lighter than the lesion, whatever the class: no mean colour tells it.
    depth = rng.uniform(0.5, 0.8)
    if rng.random() < (0.2 if name in ("dotted", "netted") else 0.8):
        accent = pigment * (1 - depth)
    else:
        accent = pigment + depth * (np.array([1.0, 0.93, 0.88]) - pigment)
    ragged = {"smooth": 0.3, "two-tone": 1.5}.get(name, 0.8)
    outline = tuple(
        (k, float(ragged * rng.uniform(0.2, 1.0) * 0.22 / k), float(rng.uniform(0, 2 * np.pi)))
        for k in (2, 3, 4, 5))
    few, many, reach, small, large = (
        (5, 9, 0.95, 0.20, 0.36) if name == "cluster" else (9, 16, 0.85, 0.09, 0.15))
    n = int(rng.integers(few, many))
    turn = rng.uniform(0, 2 * np.pi) + np.arange(n) * 2.4  # the golden angle keeps them apart
    far = reach * np.sqrt((np.arange(n) + 0.5) / n)
    size = rng.uniform(small, large, n)
    far = far + rng.normal(0, 0.05, n)
    spots = np.stack([far * np.cos(turn), far * np.sin(turn), size], 1)
    return _Lesion(
        name=name, skin=_f32(skin), pigment=_f32(pigment), accent=_f32(accent),
        stretch=float(rng.uniform(0.72, 1.0)), outline=outline,
        softness=float(rng.uniform(0.04, 0.16)), spots=_f32(spots), detail=_f32(rng.random(3)))


def _draw_photo(rng, close_up):
    radius = rng.uniform(0.72, 0.92) if close_up else rng.uniform(0.55, 0.72)
    room = 0.6 - 0.5 * radius
    slope, toward = rng.uniform(0, 0.35), rng.uniform(0, 2 * np.pi)
    exposure = np.exp(rng.uniform(-0.25, 0.15))
    props = [name for name, share in _PROP_SHARES.items() if rng.random() < share]
    return _Photo(
        radius=float(radius), angle=float(rng.uniform(0, 2 * np.pi)),
        shift=tuple(rng.uniform(-room, room, 2)),
        tilt=float(rng.uniform(0.82, 1.0)),
        light=(float(slope * np.cos(toward)), float(slope * np.sin(toward))),
        cast=tuple(exposure * np.exp(rng.normal(0, 0.07, 3))),
        gamma=float(np.exp(rng.uniform(-0.2, 0.2))),
        defocus=int(rng.choice(4, p=[0.5, 0.3, 0.15, 0.05])),
        noise=float(rng.uniform(0.0, 0.02)),
        grain=(float(rng.uniform(0.02, 0.09)), float(rng.uniform(10, 30)),
               float(rng.uniform(0, np.pi))),
        props=tuple(props),
        hairs=int(rng.integers(2, 7)) if rng.random() < 0.3 else 0)


def _render(lesion, photo, rng):
    """One photo, uint8 [IMAGE_SIZE, IMAGE_SIZE, 3]; `rng` places the photo's props."""
    skin = np.broadcast_to(lesion.skin, (IMAGE_SIZE, IMAGE_SIZE, 3))
    amplitude, frequency, heading = photo.grain
    if amplitude:
        along, across = _turned(frequency * _X, frequency * _Y, heading)
        skin = skin * (1 + amplitude * np.sin(along) * np.sin(across + 1))[..., None]
    u, v = _lesion_plane(photo)
    cover, accent = _texture(lesion, u, v / lesion.stretch, _PIXEL / photo.radius)
    body = lesion.pigment + accent[..., None] * (lesion.accent - lesion.pigment)
    picture = skin + cover[..., None] * (body - skin)
    for name in photo.props:
        picture = _PROPS[name](picture, rng)
    if photo.hairs:
        picture = _hairs(picture, rng, photo.hairs)
    shade = 1 + photo.light[0] * _X + photo.light[1] * _Y
    picture = picture * shade[..., None] * _f32(photo.cast)
    picture = np.clip(picture, 0, 1) ** np.float32(photo.gamma)
    for _ in range(photo.defocus):
        picture = _smooth(picture)
    if photo.noise:
        picture = picture + photo.noise * rng.standard_normal(picture.shape, np.float32)
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def _lesion_plane(photo):
    """The coordinates of each pixel in the lesion's own frame, in radii."""
    x, y = (_X - photo.shift[0]) / photo.radius, (_Y - photo.shift[1]) / photo.radius
    x = x / photo.tilt
    return _turned(x, y, photo.angle)


def _texture(lesion, u, v, pixel):
    """How far a pixel belongs to the lesion, and how far to its texture; both in [0, 1]."""
    name = lesion.name
    r, angle = np.hypot(u, v), np.arctan2(v, u)
    edge = np.ones_like(r)
    for k, amplitude, phase in lesion.outline:
        edge += amplitude * np.cos(k * angle + phase)
    soft = max(lesion.softness, pixel)
    cover = _step((edge - r) / soft)
    a, b, c = lesion.detail
    inside = r / edge
    if name == "smooth":
        accent = 0.35 * a * np.clip(1 - inside, 0, 1)
    elif name == "ring":
        accent = np.exp(-(((inside - 0.62 - 0.16 * a) / (0.10 + 0.06 * b)) ** 2))
    elif name == "target":
        accent = _step((0.3 + 0.15 * a - inside) / 0.08)
    elif name == "two-tone":
        along, _ = _turned(u, v, 2 * np.pi * a)
        accent = _step((along + 0.5 * (b - 0.5)) / (0.05 + 0.1 * c))
    elif name == "streaked":
        accent = _step(np.cos((6 + np.rint(3 * a)) * angle + 6 * b) * 3) * np.clip(
            (inside - 0.25) * 3, 0, 1)
    elif name == "netted":
        p, q = _turned((7 + 3 * a) * u, (7 + 3 * a) * v, np.pi * b)
        p, q = np.cos(p + 0.5 * np.sin(3 * v)), np.cos(q + 0.5 * np.sin(3 * u))
        accent = _step((np.maximum(p, q) - 0.6) * 5)
    else:  # dotted: spots in the lesion; cluster: the spots are the lesion
        x, y, size = lesion.spots.T[:, :, None, None]
        spots = _step(((size - np.hypot(u - x, v - y)) / max(0.05, pixel)).max(0))
        if name == "dotted":
            accent = spots
        else:
            cover, accent = spots, np.full_like(r, 0.35 * a)
    return cover, accent


def _cloth(picture, rng):
    turn = rng.uniform(0, 2 * np.pi)
    along, across = _turned(_X, _Y, turn)
    first, second = _CLOTHS[rng.permutation(len(_CLOTHS))[:2]]
    stripe = rng.choice([0.0, 0.5, 0.9]) * _step(np.sin(
        rng.uniform(6, 18) * (across if rng.random() < 0.5 else along)) * 4)
    weave = first + stripe[..., None] * (second - first)
    fold = 0.06 * np.sin(rng.uniform(2, 6) * across + rng.uniform(0, 6))
    return _over(picture, weave, _step((along + fold - rng.uniform(0.45, 0.85)) / 0.03))


def _ruler(picture, rng):
    turn = rng.uniform(0, 2 * np.pi)
    along, across = _turned(_X, _Y, turn)
    near = rng.uniform(0.5, 0.8)
    ticks = _step((np.cos(across * rng.uniform(14, 28)) - 0.3) * 4)
    ticks = ticks * _step((near + rng.uniform(0.1, 0.18) - along) / 0.03)
    paper = np.float32(0.92) - 0.8 * ticks[..., None]
    band = _step((along - near) / 0.03) * _step((near + 0.3 - along) / 0.03)
    return _over(picture, paper, band)


def _pen(picture, rng):
    ink = _INKS[rng.integers(len(_INKS))]
    x, y, size = rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 0.3), rng.uniform(0.5, 1.0)
    dx, dy = _X - x, _Y - y
    line = _step((0.04 - np.abs(np.hypot(dx, dy) - size)) / 0.03)
    part = _step((np.cos(np.arctan2(dy, dx) - rng.uniform(0, 6.3)) - rng.uniform(-1, 0.6)) / 0.1)
    return _over(picture, ink, 0.8 * line * part)


def _rim(picture, rng):
    x, y = rng.uniform(-0.12, 0.12, 2)
    inside = (rng.uniform(0.9, 1.1) - np.hypot(_X - x, _Y - y)) / rng.uniform(0.02, 0.15)
    return picture * (0.04 + 0.96 * _step(inside))[..., None]


def _shadow(picture, rng):
    turn = rng.uniform(0, 2 * np.pi)
    along, _ = _turned(_X, _Y, turn)
    along = along + 0.2 * np.sin(3 * _X + rng.uniform(0, 6))
    dark = _step((along - rng.uniform(-0.2, 0.7)) / rng.uniform(0.03, 0.15))
    return picture * (1 - rng.uniform(0.25, 0.5) * dark)[..., None]


def _glare(picture, rng):
    x, y, size = rng.uniform(-0.8, 0.8), rng.uniform(-0.8, 0.8), rng.uniform(0.08, 0.25)
    spot = np.exp(-((_X - x) ** 2 + (_Y - y) ** 2) / size**2)
    return _over(picture, np.float32(1), 0.9 * spot)


_PROPS = {"cloth": _cloth, "ruler": _ruler, "pen": _pen, "rim": _rim, "shadow": _shadow,
          "glare": _glare}


def _hairs(picture, rng, count):
    turn, bend, offset = (rng.uniform(low, high, count) for low, high in
                          ((0, np.pi), (-0.4, 0.4), (-1, 1)))
    common = rng.uniform(0, np.pi)
    turn = _f32(common + 0.3 * (turn - np.pi / 2))[:, None, None]
    along, across = _turned(_X, _Y, turn)
    off = across - _f32(offset)[:, None, None] - _f32(bend)[:, None, None] * along**2
    line = _step((0.022 - np.abs(off).min(0)) / 0.02)
    return _over(picture, _f32(rng.uniform(0.05, 0.3)) * _f32([1.0, 0.85, 0.7]), 0.85 * line)


def _turned(x, y, angle):
    """Coordinates along and across a direction; `angle` is a number or an array that fits."""
    cos, sin = _f32(np.cos(angle)), _f32(np.sin(angle))
    return cos * x + sin * y, cos * y - sin * x


def _over(below, above, alpha):
    return below + alpha[..., None] * (above - below)


def _step(x):
    """A smooth step from 0 to 1 over [-1, 1]."""
    x = np.clip(x, -1, 1)
    return 0.5 + x * (0.75 - 0.25 * x * x)


def _smooth(picture):
    picture = np.pad(picture, ((1, 1), (1, 1), (0, 0)), mode="edge")
    picture = 0.25 * (picture[:-2] + picture[2:]) + 0.5 * picture[1:-1]
    return 0.25 * (picture[:, :-2] + picture[:, 2:]) + 0.5 * picture[:, 1:-1]


def _f32(x):
    return np.asarray(x, np.float32)


def _png(picture):
    """Encodes uint8 [height, width, 3] as a PNG file (RFC 2083) with no filter."""
    height, width, _ = picture.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # each row starts with its filter, 0
    rows[:, 1:] = picture.reshape(height, -1)

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(
            ">I", zlib.crc32(kind + body))

    return (b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows.tobytes(), 6))
            + chunk(b"IEND", b""))
