"""What is rendered of a case and of a photo, each by itself."""

import dataclasses

import numpy as np
import pytest

from data_builders.derm_cases.rendering import (
    IMAGE_SIZE,
    LOOKS,
    Photo,
    draw_lesion,
    draw_photo,
    render,
)

PLAIN = Photo()  # straight, evenly lit, without props, noise and skin lines


def rng(seed=0):
    return np.random.default_rng(seed)


def lesion_of(look="smooth", seed=0, skin_type=2):
    return draw_lesion(rng(seed), look, skin_type)


def rendered(lesion, photo=PLAIN, seed=1):
    return np.asarray(render(lesion, photo, rng(seed)), np.float32)


def test_size_and_range():
    for seed, look in enumerate(LOOKS):
        photo = draw_photo(rng(seed), close_up=seed % 2 == 0)
        picture = render(lesion_of(look, seed), photo, rng(seed))
        assert picture.shape == (IMAGE_SIZE, IMAGE_SIZE, 3) and picture.dtype == np.uint8
        assert 20 < picture.mean() < 235 and picture.std() > 5


def test_a_picture_is_a_function_of_lesion_photo_and_seed():
    lesion, photo = lesion_of("netted"), draw_photo(rng(5), close_up=True)
    same = draw_lesion(rng(0), "netted", 2)
    np.testing.assert_array_equal(rendered(lesion, photo), rendered(same, photo))
    assert np.abs(rendered(lesion, photo) - rendered(lesion_of("netted", 1), photo)).max() > 10
    other = dataclasses.replace(photo, angle=photo.angle + 1.0)
    assert np.abs(rendered(lesion, photo) - rendered(lesion, other)).max() > 10


def test_skin_and_lesion_have_their_colours():
    lesion = lesion_of(skin_type=0)
    picture = rendered(lesion) / 255
    corner, middle = picture[:3, :3].mean((0, 1)), picture[22:26, 22:26].mean((0, 1))
    np.testing.assert_allclose(corner, lesion.skin, atol=0.05)
    assert np.linalg.norm(middle - lesion.pigment) < np.linalg.norm(middle - lesion.skin)
    dark = rendered(lesion_of(skin_type=5)) / 255
    assert dark[:3, :3].mean() < corner.mean() - 0.2


@pytest.mark.parametrize("look", LOOKS[1:])
def test_every_look_is_another_texture_of_the_same_lesion(look):
    plain = lesion_of()
    difference = np.abs(rendered(dataclasses.replace(plain, look=look)) - rendered(plain))
    assert difference.max() > 10  # in the lesion
    assert difference[:2, :2].max() == 0  # and not on the skin


def test_a_close_up_shows_the_lesion_larger():
    radii = {
        close: [draw_photo(rng(k), close).radius for k in range(50)] for close in (True, False)
    }
    assert min(radii[True]) >= 0.66 >= max(radii[False])
    areas = {}
    for radius in (0.55, 0.85):
        picture = rendered(lesion_of(), dataclasses.replace(PLAIN, radius=radius))
        areas[radius] = (np.abs(picture - picture[0, 0]).max(-1) > 15).mean()
    assert areas[0.85] / areas[0.55] == pytest.approx((0.85 / 0.55) ** 2, rel=0.15)


@pytest.mark.parametrize(
    "changes",
    [
        {"shift": (0.2, 0.0)},
        {"light": (0.3, 0.0)},
        {"cast": (1.2, 0.9, 1.0)},
        {"gamma": 1.2},
        {"defocus": 3},
        {"noise": 0.05},
        {"grain": (0.09, 20.0, 0.3)},
        {"opening": 1.2},
        {"hairs": 6},
        *({"props": (name,)} for name in ("ruler", "pen", "rim", "shadow", "glare")),
    ],
    ids=lambda changes: str(*changes.values()),
)
def test_every_part_of_a_photo_shows(changes):
    lesion = lesion_of("dotted")
    difference = np.abs(rendered(lesion) - rendered(lesion, dataclasses.replace(PLAIN, **changes)))
    assert difference.max() > 5
