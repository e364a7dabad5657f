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
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from data_builders.derm_cases.rendering import LOOKS, Photo, draw_lesion, draw_photo, render
from data_builders.schema import UNLABELLED, Case, CaseImage

CLASS_NAMES = tuple(f"synthetic {look}" for look in LOOKS)
PATIENTS_PER_SPLIT = {"train": 1340, "validation": 240, "test": 800}

# Long-tailed: the first class is about five times as frequent as the last.
_CLASS_SHARE = 0.8 ** np.arange(len(CLASS_NAMES))
_CLASS_SHARE /= _CLASS_SHARE.sum()
_CASES_PER_PATIENT = (0.6, 0.3, 0.1)  # of 1, 2, 3
_PHOTOS_PER_CASE = (0.12, 0.28, 0.28, 0.18, 0.09, 0.05)  # of 1 to 6
_UNLABELLED_SHARE = 0.85  # of the train cases: many images, few labels
_AGE_GROUPS, _AGE_SHARES = ("18-39", "40-59", "60-79", "80+"), (0.3, 0.35, 0.25, 0.1)

# One random stream per purpose: the first number of every seed sequence.
_PATIENT, _CASE, _LESION, _PHOTO, _SHUFFLE = range(1, 6)


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
      `CaseImage.read` gives an RGB PNG of `rendering.IMAGE_SIZE` pixels.
    """
    counts = PATIENTS_PER_SPLIT if patients_per_split is None else patients_per_split
    splits, first, case = {}, 0, 0
    for split, count in counts.items():
        cases = []
        for patient in range(first, first + count):
            rng = _rng(_PATIENT, seed, patient)
            skin_type = int(rng.integers(6))
            age_group = str(rng.choice(_AGE_GROUPS, p=_AGE_SHARES))
            for _ in range(1 + rng.choice(3, p=_CASES_PER_PATIENT)):
                attributes = {"skin_type": str(skin_type + 1), "age_group": age_group}
                cases.append(
                    _make_case(
                        seed,
                        case,
                        f"patient{patient:05d}",
                        skin_type,
                        attributes,
                        unlabelled=_UNLABELLED_SHARE if split == "train" else 0.0,
                        photo_variation=photo_variation,
                    )
                )
                case += 1
        first += count
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
    labelled = rng.random() >= unlabelled
    case_id = f"case{index:06d}"
    images = []
    for photo in range(num_photos):
        close_up = bool(rng.random() < 0.6)
        read = functools.partial(
            _read, seed, index, photo, label, skin_type,
            close_up=close_up, photo_variation=photo_variation,
        )  # fmt: skip
        image = CaseImage(
            f"{case_id}_{photo}", read, where=f"synthetic {case_id} photo {photo}",
            view_position="close-up" if close_up or not photo_variation else "overview",
            class_label=label if labelled else UNLABELLED,
        )  # fmt: skip
        images.append(image)
    return Case(case_id, patient_id, tuple(images), attributes)


def _deal_photos(cases, rng):
    photos = [photo for case in cases for photo in case.images]
    dealt = iter(rng.permutation(len(photos)))
    return [
        dataclasses.replace(case, images=tuple(photos[next(dealt)] for _ in case.images))
        for case in cases
    ]


def _read(seed, case, photo, label, skin_type, *, close_up, photo_variation):
    lesion = draw_lesion(_rng(_LESION, seed, case), LOOKS[label], skin_type)
    rng = _rng(_PHOTO, seed, case, photo)
    how = draw_photo(rng, close_up) if photo_variation else Photo()
    return tf.io.encode_png(render(lesion, how, rng)).numpy()
