"""Draws a lesion and photographs it, in numpy: the pictures of `synthetic`.

Nothing here is a diagnosis. What belongs to the case is a `Lesion`, what belongs to the photo a
`Photo`; a picture is a function of both.
"""

import dataclasses

import numpy as np

LOOKS = ("smooth", "dotted", "ring", "netted", "two-tone", "streaked", "target", "cluster")
IMAGE_SIZE = 48  # pixels, both ways

_DRAPE_SHARE = 0.85  # of the photos
_PROP_SHARES = {  # how many photos have it
    "ruler": 0.25,
    "pen": 0.25,
    "rim": 0.2,
    "shadow": 0.2,
    "glare": 0.2,
}

_SKIN_TONES = np.array(  # RGB in [0, 1], skin types I to VI
    [
        [0.95, 0.80, 0.73],
        [0.91, 0.74, 0.64],
        [0.84, 0.66, 0.53],
        [0.73, 0.54, 0.41],
        [0.58, 0.40, 0.29],
        [0.42, 0.28, 0.21],
    ],
    np.float32,
)
_PIGMENTS = np.array(  # RGB factors on the skin tone: brown, dark, red, pink, violet, slate
    [
        [0.60, 0.45, 0.36],
        [0.38, 0.29, 0.27],
        [0.82, 0.38, 0.35],
        [0.92, 0.60, 0.60],
        [0.60, 0.40, 0.56],
        [0.48, 0.50, 0.56],
    ],
    np.float32,
)
_CLOTHS = np.array(
    [
        [0.25, 0.48, 0.68],
        [0.32, 0.60, 0.50],
        [0.90, 0.90, 0.88],
        [0.20, 0.22, 0.28],
        [0.70, 0.30, 0.34],
        [0.80, 0.70, 0.45],
    ],
    np.float32,
)
_INKS = np.array([[0.20, 0.12, 0.50], [0.10, 0.10, 0.12], [0.05, 0.35, 0.25]], np.float32)

_AXIS = np.linspace(-1, 1, IMAGE_SIZE, dtype=np.float32)
_X, _Y = np.meshgrid(_AXIS, _AXIS)
_PIXEL = 2 / IMAGE_SIZE  # in the units of _X and _Y


@dataclasses.dataclass(frozen=True)
class Lesion:
    """What belongs to the case. Lengths are in radii of the lesion."""

    look: str  # one of LOOKS, and with it the class
    skin: np.ndarray  # RGB in [0, 1], as all colours here
    pigment: np.ndarray  # the lesion's colour
    accent: np.ndarray  # the colour of its texture
    stretch: float
    outline: tuple[tuple[int, float, float], ...]  # harmonic, amplitude, phase
    softness: float
    spots: np.ndarray  # [n, 3]: x, y, radius
    detail: np.ndarray  # three numbers in [0, 1] that vary the texture in a class


@dataclasses.dataclass(frozen=True)
class Photo:
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
    opening: float = 0.0  # of the drape around the lesion, in radii of the lesion; 0 for none
    props: tuple[str, ...] = ()
    hairs: int = 0


def draw_lesion(rng, look, skin_type):
    """What belongs to the case: a `Lesion` with one of `LOOKS` on skin of type 0 to 5."""
    skin = _SKIN_TONES[skin_type] * (1 + rng.normal(0, 0.03, 3))
    factor = _PIGMENTS[rng.integers(len(_PIGMENTS))] * (1 + rng.normal(0, 0.06, 3))
    strength = rng.uniform(0.7, 1.0)
    pigment = skin * (1 - strength + strength * factor)
    # Texture darker or lighter than the lesion, whatever the class: no mean colour tells it.
    depth = rng.uniform(0.5, 0.8)
    if rng.random() < (0.2 if look in ("dotted", "netted") else 0.8):
        accent = pigment * (1 - depth)
    else:
        accent = pigment + depth * (np.array([1.0, 0.93, 0.88]) - pigment)
    ragged = {"smooth": 0.3, "two-tone": 1.5}.get(look, 0.8)
    outline = tuple(
        (k, float(ragged * rng.uniform(0.2, 1.0) * 0.22 / k), float(rng.uniform(0, 2 * np.pi)))
        for k in (2, 3, 4, 5)
    )
    few, many, reach, small, large = (
        (5, 9, 0.95, 0.20, 0.36) if look == "cluster" else (9, 16, 0.85, 0.09, 0.15)
    )
    n = int(rng.integers(few, many))
    turn = rng.uniform(0, 2 * np.pi) + np.arange(n) * 2.4  # the golden angle keeps them apart
    far = reach * np.sqrt((np.arange(n) + 0.5) / n)
    size = rng.uniform(small, large, n)
    far = far + rng.normal(0, 0.05, n)
    spots = np.stack([far * np.cos(turn), far * np.sin(turn), size], 1)
    return Lesion(
        look=look,
        skin=_f32(skin),
        pigment=_f32(pigment),
        accent=_f32(accent),
        stretch=float(rng.uniform(0.72, 1.0)),
        outline=outline,
        softness=float(rng.uniform(0.04, 0.16)),
        spots=_f32(spots),
        detail=_f32(rng.random(3)),
    )


def draw_photo(rng, close_up):
    """What belongs to the photo: a `Photo`."""
    radius = rng.uniform(0.66, 0.88) if close_up else rng.uniform(0.54, 0.66)
    room = 0.6 - 0.5 * radius
    slope, toward = rng.uniform(0, 0.35), rng.uniform(0, 2 * np.pi)
    exposure = np.exp(rng.uniform(-0.25, 0.15))
    props = [name for name, share in _PROP_SHARES.items() if rng.random() < share]
    return Photo(
        radius=float(radius),
        angle=float(rng.uniform(0, 2 * np.pi)),
        shift=tuple(rng.uniform(-room, room, 2)),
        tilt=float(rng.uniform(0.82, 1.0)),
        light=(float(slope * np.cos(toward)), float(slope * np.sin(toward))),
        cast=tuple(exposure * np.exp(rng.normal(0, 0.07, 3))),
        gamma=float(np.exp(rng.uniform(-0.2, 0.2))),
        defocus=int(rng.choice(4, p=[0.5, 0.3, 0.15, 0.05])),
        noise=float(rng.uniform(0.0, 0.02)),
        grain=(
            float(rng.uniform(0.02, 0.09)),
            float(rng.uniform(10, 30)),
            float(rng.uniform(0, np.pi)),
        ),
        opening=float(rng.uniform(1.1, 1.25)) if rng.random() < _DRAPE_SHARE else 0.0,
        props=tuple(props),
        hairs=int(rng.integers(2, 7)) if rng.random() < 0.3 else 0,
    )


def render(lesion, photo, rng):
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
    if photo.opening:
        picture = _drape(picture, rng, photo)
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
    look = lesion.look
    r, angle = np.hypot(u, v), np.arctan2(v, u)
    edge = np.ones_like(r)
    for k, amplitude, phase in lesion.outline:
        edge += amplitude * np.cos(k * angle + phase)
    soft = max(lesion.softness, pixel)
    cover = _step((edge - r) / soft)
    a, b, c = lesion.detail
    inside = r / edge
    if look == "smooth":
        accent = 0.35 * a * np.clip(1 - inside, 0, 1)
    elif look == "ring":
        accent = np.exp(-(((inside - 0.62 - 0.16 * a) / (0.10 + 0.06 * b)) ** 2))
    elif look == "target":
        accent = _step((0.3 + 0.15 * a - inside) / 0.08)
    elif look == "two-tone":
        along, _ = _turned(u, v, 2 * np.pi * a)
        accent = _step((along + 0.5 * (b - 0.5)) / (0.05 + 0.1 * c))
    elif look == "streaked":
        accent = _step(np.cos((6 + np.rint(3 * a)) * angle + 6 * b) * 3) * np.clip(
            (inside - 0.25) * 3, 0, 1
        )
    elif look == "netted":
        p, q = _turned((7 + 3 * a) * u, (7 + 3 * a) * v, np.pi * b)
        p, q = np.cos(p + 0.5 * np.sin(3 * v)), np.cos(q + 0.5 * np.sin(3 * u))
        accent = _step((np.maximum(p, q) - 0.6) * 5)
    else:  # dotted: spots in the lesion; cluster: the spots are the lesion
        x, y, size = lesion.spots.T[:, :, None, None]
        spots = _step(((size - np.hypot(u - x, v - y)) / max(0.05, pixel)).max(0))
        if look == "dotted":
            accent = spots
        else:
            cover, accent = spots, np.full_like(r, 0.35 * a)
    return cover, accent


def _drape(picture, rng, photo):
    """A patterned cloth over everything but an opening around the lesion."""
    pitch = rng.uniform(6, 22)
    along, across = _turned(pitch * _X, pitch * _Y, rng.uniform(0, np.pi))
    pattern = _step(
        [
            3 * np.sin(along + rng.uniform(0, 6)),  # stripes
            3 * np.sin(along) * np.sin(across),  # checks
            4 * (np.cos(along) + np.cos(across) - 0.8),  # dots
            3 * np.sin(along + 2 * np.sin(across / 2)),  # waves
        ][rng.integers(4)]
    )
    first, second = _CLOTHS[rng.permutation(len(_CLOTHS))[:2]]
    weave = first + pattern[..., None] * (second - first)
    x, y = _X - photo.shift[0], _Y - photo.shift[1]
    edge = photo.opening * photo.radius
    if rng.random() < 0.5:
        outside = np.hypot(x, y) - edge
    else:
        p, q = _turned(x, y, rng.uniform(0, np.pi))
        outside = np.maximum(np.abs(p), np.abs(q)) - 0.95 * edge
    return _over(picture, weave, _step(outside / 0.04))


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


_PROPS = {
    "ruler": _ruler,
    "pen": _pen,
    "rim": _rim,
    "shadow": _shadow,
    "glare": _glare,
}


def _hairs(picture, rng, count):
    turn, bend, offset = (
        rng.uniform(low, high, count) for low, high in ((0, np.pi), (-0.4, 0.4), (-1, 1))
    )
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
