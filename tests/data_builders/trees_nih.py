"""A tree in the format of NIH ChestX-ray14, with patients, findings and pictures made up."""

import os

import numpy as np
import tensorflow as tf

from data_builders.nih_chest_xray14.nih_chest_xray14_dataset_builder import FINDINGS

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
SAMPLE_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImageWidth,OriginalImageHeight,OriginalImagePixelSpacing_x,OriginalImagePixelSpacing_y"
)
TABLES = {
    "owner": "Data_Entry_2017_v2020.csv",
    "kaggle": "Data_Entry_2017.csv",
    "sample": "sample_labels.csv",
}


def write_tree(folder, patients=120, copy="owner", side=32, seed=0):
    """Writes a CSV and images as one of the copies of the set has them.

    Every patient has one to four images; a finding that he has shows in most of them, as a bright
    disc at a place of its own. Every tenth image is RGBA, and the last one has no row.

    Args:
      folder: is made if it is not there.
      patients: how many, 10 or more.
      copy: "owner" (Data_Entry_2017_v2020.csv, images/, official lists), "kaggle"
        (Data_Entry_2017.csv with a comma at the end of each line, images_001/images/ and so on,
        official lists) or "sample" (sample_labels.csv, ages as 060Y, no lists).
      side: of the images, in pixels.
      seed: everything is a function of it and the other arguments.

    Returns:
      How many images have a row.
    """
    rng = np.random.default_rng(seed)
    rows, pictures = [], {}
    for patient in range(1, patients + 1):
        has = rng.random(len(FINDINGS)) < 0.12
        build, age, sex = rng.random(4), rng.integers(18, 90), "MF"[rng.integers(2)]
        for visit in range(1 + rng.choice(4, p=(0.4, 0.3, 0.2, 0.1))):
            now = has & (rng.random(len(FINDINGS)) < 0.8)
            named = "|".join(np.array(FINDINGS)[now]) or "No Finding"
            name = f"{patient:08d}_{visit:03d}.png"
            shown = f"{age + visit:03d}Y" if copy == "sample" else age + visit
            view = ("PA", "AP")[rng.integers(2)]
            rows.append(
                f"{name},{named},{visit},{patient},{shown},{sex},{view},2500,2048,0.168,0.168"
            )
            pictures[name] = picture(rng, now, build, side)
    count = len(rows)
    pictures[f"{patients + 1:08d}_000.png"] = picture(rng, [], build, side)
    for i, (name, pixels) in enumerate(pictures.items()):
        inside = f"images_{1 + 2 * i // len(pictures):03d}/images" if copy == "kaggle" else "images"
        os.makedirs(os.path.join(folder, inside), exist_ok=True)
        if i % 10 == 3:
            pixels = np.concatenate([pixels] * 3 + [np.full_like(pixels, 255)], -1)
        with open(os.path.join(folder, inside, name), "wb") as file:
            file.write(tf.io.encode_png(pixels).numpy())
    header = SAMPLE_HEADER if copy == "sample" else HEADER
    end = "," if copy == "kaggle" else ""
    _write(folder, TABLES[copy], [line + end for line in (header, *rows)])
    if copy != "sample":
        tested = [name for name in pictures if int(name[:8]) % 5 == 0]
        _write(folder, "test_list.txt", tested)
        _write(folder, "train_val_list.txt", [name for name in pictures if name not in tested])
    return count


def picture(rng, findings, build, side):
    """Something like a chest: two dark lungs whose place is the patient's, and discs in them.

    Args:
      rng: numpy's, for noise.
      findings: up to 16 truth values; finding k is a disc at place k of 4 x 4.
      build: four numbers in [0, 1], the patient's own.
      side: in pixels.

    Returns:
      uint8 [side, side, 1].
    """
    y, x = np.mgrid[:side, :side] / side
    image = np.full((side, side), 0.5)
    for centre in (0.25 + 0.1 * build[0], 0.75 - 0.1 * build[1]):
        lung = ((x - centre) / 0.18) ** 2 + ((y - 0.4 - 0.2 * build[2]) / 0.35) ** 2
        image[lung < 1] = 0.15 + 0.15 * build[3]
    for place in np.flatnonzero(findings):
        row, column = divmod(place, 4)
        distance = np.hypot(x - (column + 0.5) / 4, y - (row + 0.5) / 4)
        image += 0.45 * (distance < 0.1)
    image += 0.03 * rng.standard_normal(image.shape)
    return (255 * np.clip(image, 0, 1)).astype(np.uint8)[..., None]


def _write(folder, name, lines):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
