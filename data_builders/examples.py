"""From a case to an example: its images are read and checked, and so are all cases together.

Many are read `on_threads` of one machine, or `on_beam`, on many machines.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from data_builders.images import ImageOptions, stored_image
from data_builders.reading.pixels import BadImage, check_bytes
from data_builders.schema import BadData, Case
from data_builders.splits import patient_key


def read_case(case: Case, images: ImageOptions):
    """Reads the images of one case.

    Returns:
      ((case_id, example), [message on each image that is bad and left out], counts); None in
      place of the first if no image is good. `counts` is {"turned": images that their EXIF says
      to turn, "with_position": images whose stored copy says where they were taken}.
    """
    good, bad = [], []
    for image in case.images:
        try:
            check_bytes(getattr(image.read, "size", 0), images.max_image_bytes)
            good.append((image, stored_image(image.read(), images)))
        except OSError as error:
            bad.append(f"{image.source}: cannot be read: {error.strerror}")
        except BadImage as error:
            bad.append(f"{image.source}: {error}")
    if not good:
        return None, bad, {}
    members, stored = zip(*good, strict=True)
    attributes = {
        name: [v for v, image in zip(value, case.images, strict=True) if image in members]
        if isinstance(value, list)  # one per image
        else value
        for name, value in case.attributes.items()
    }
    example: dict[str, Any] = dict(
        case_id=case.case_id,
        patient_id=case.patient_id,
        attributes=json.dumps(attributes, sort_keys=True, ensure_ascii=False),
        images=[image.content for image in stored],
        image_id=[image.image_id for image in members],
        view_position=[image.view_position for image in members],
        pixel_hash=[image.pixel_hash for image in stored],
    )
    if members[0].findings:
        example["findings"] = np.array([image.findings for image in members], np.int8)
    else:
        example["class_label"] = [image.class_label for image in members]
    counts = dict(
        turned=sum(image.turned for image in stored),
        with_position=sum(image.has_position for image in stored),
    )
    return (case.case_id, example), bad, counts


def check_some_left(number, split, bad_images):
    """Raises BadData if not one case of a split has a good image; tfds writes no empty split."""
    if not number:
        raise BadData(f"{bad_images.messages[-1]}; that leaves no image in {split}")


def check_cases(cases_by_split: Mapping[str, Iterable[Case]]):
    """The last check before writing, the same for every builder.

    Raises:
      BadData: a case or an image is there twice, a case has no image, or a patient
        stands in two splits.
    """
    cases: dict[str, str] = {}  # where each is stated
    images: dict[str, str] = {}
    patients: dict[str, tuple[str, str]] = {}  # its split, and where
    for split, members in cases_by_split.items():
        for case in members:
            if not case.images:
                raise BadData(f"case {case.case_id} has no image")
            source = case.images[0].where
            if case.case_id in cases:
                first = cases[case.case_id]
                raise BadData(f"{source}: case {case.case_id} is there twice ({first})")
            cases[case.case_id] = source
            for image in case.images:
                if image.image_id in images:
                    first = images[image.image_id]
                    raise BadData(f"{image.where}: image {image.image_id} is there twice ({first})")
                images[image.image_id] = image.where
            key = patient_key(case.patient_id, case.case_id)
            other_split, other_source = patients.setdefault(key, (split, source))
            if other_split != split:
                raise BadData(
                    f"{source}: {key} is in {split}, but in {other_split} in {other_source}; "
                    "a patient must stay in one split"
                )
