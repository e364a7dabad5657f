"""Small cases of generated images with a manifest, for tests that run a whole command."""

import csv
import pathlib

import numpy as np
import tensorflow as tf

# A recipe that a laptop takes a step of in milliseconds.
TINY = ["--image_size=16", "--resnet_depth=10", "--width_multiplier=0.125", "--train_batch_size=8"]
TINY += ["--preset=paper"]  # whatever machine runs the tests


def write_cases(folder, num_cases=48, classes=("oval", "ring"), seed=0, size=24):
    """Writes cases of 1 to 3 photos and cases.csv; the class is the pattern, not the colour.

    Returns:
      The path of cases.csv, with columns case_id, patient_id, image, label, view; two
      cases of three share a patient with their neighbour, one case in eight is unlabelled.
    """
    folder = pathlib.Path(folder)
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    rows = []
    for case in range(num_cases):
        label = case % len(classes)
        color = rng.uniform(0.2, 0.9, 3)
        for photo in range(1 + case % 3):
            center = rng.uniform(-0.3, 0.3, 2)
            radius = np.hypot(x - center[0], y - center[1])
            shape = radius < 0.5 if label == 0 else (radius > 0.35) & (radius < 0.6)
            pixels = np.where(shape[..., None], color, 1 - color) + rng.normal(
                0, 0.05, (size, size, 3)
            )
            content = tf.io.encode_jpeg(np.uint8(255 * pixels.clip(0, 1)), quality=95).numpy()
            name = f"images/c{case}_{photo}.jpg"
            (folder / name).write_bytes(content)
            stated = "" if case % 8 == 7 else classes[label]
            rows.append(
                [f"c{case}", f"p{case * 2 // 3}", name, stated, ("front", "side")[photo % 2]]
            )
    with open(folder / "cases.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["case_id", "patient_id", "image", "label", "view"])
        writer.writerows(rows)
    return folder / "cases.csv"
