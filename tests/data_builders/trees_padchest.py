"""A tree in the format of PadChest, with patients, reports and pictures made up."""

import csv
import gzip
import os

import numpy as np
import tensorflow as tf

from tests.data_builders.trees_nih import picture

TABLE = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
# All that the owner names, in the order that is told; dates and ages are in it.
HEADER = tuple(
    [
        "ImageID",
        "ImageDir",
        "StudyDate_DICOM",
        "StudyID",
        "PatientID",
        "PatientBirth",
        "PatientSex_DICOM",
        "ViewPosition_DICOM",
        "Projection",
        "Pediatric",
        "MethodProjection",
        "Modality_DICOM",
        "Manufacturer_DICOM",
        "PhotometricInterpretation_DICOM",
        "PixelRepresentation_DICOM",
        "PixelAspectRatio_DICOM",
        "SpatialResolution_DICOM",
        "BitsStored_DICOM",
        "WindowCenter_DICOM",
        "WindowWidth_DICOM",
        "Rows_DICOM",
        "Columns_DICOM",
        "XRayTubeCurrent_DICOM",
        "Exposure_DICOM",
        "ExposureInuAs_DICOM",
        "ExposureTime_DICOM",
        "RelativeXRayExposure_DICOM",
        "ReportID",
        "Report",
        "MethodLabel",
        "Labels",
        "Localizations",
        "LabelsLocalizationsBySentence",
        "LabelCUIS",
        "LocalizationsCUIS",
    ]
)
NAMES = (
    "cardiomegaly", "pleural effusion", "laminar atelectasis", "consolidation",
    "pulmonary edema", "pneumonia", "scoliosis", "infiltrates",
)  # fmt: skip
UNSTORED = ("nsg tube", "chronic changes")


def write_tree(folder, studies=150, *, flat=False, zipped=False, broken=0, side=32, seed=0):
    """Writes the CSV and 16-bit images.

    A patient has one to three studies, most of two views. A finding shows in all views of the
    study as a bright disc at a place of its own. One study in ten has no labels, one in twenty a
    view whose projection is EXCLUDE.

    Args:
      folder: is made if it is not there.
      studies: how many, 20 or more.
      flat: all images beside the CSV, in place of the folders that ImageDir names.
      zipped: the CSV gzipped.
      broken: so many of the images are cut short, and one more is missing.
      side: of the images, in pixels.
      seed: everything is a function of it and the other arguments.

    Returns:
      (rows of the CSV, how many of them are EXCLUDE).
    """
    rng = np.random.default_rng(seed)
    rows, excluded, patient, left = [], 0, -1, 0
    for study in range(studies):
        if not left:
            patient, left, build = patient + 1, rng.integers(1, 4), rng.random(4)
        left -= 1
        has = rng.random(len(NAMES)) < 0.2
        names = [name for name, here in zip(NAMES, has, strict=True) if here] or ["normal"]
        names += [name for name in UNSTORED if rng.random() < 0.1]
        labels = ("", "nan")[study % 20 // 10] if study % 10 == 7 else str(names)
        views = ["PA", "L"] if rng.random() < 0.7 else ["AP_horizontal"]
        if study % 20 == 4:
            views.append("EXCLUDE")
            excluded += 1
        for view in views:
            subfolder = str(len(rows) % 3)
            row = dict.fromkeys(HEADER, "") | {
                "ImageID": f"{study_id(study)}{len(rows):06d}_00-{len(rows) % 200:03d}-045.png",
                "ImageDir": subfolder,
                "StudyDate_DICOM": "20140512",
                "StudyID": study_id(study),
                "PatientID": patient_id(patient),
                "PatientBirth": "1950",
                "PatientSex_DICOM": "MF"[patient % 2],
                "ViewPosition_DICOM": "POSTEROANTERIOR",
                "Projection": view,
                "Report": "sin, cambios",
                "MethodLabel": ("Physician", "RNN_model")[study % 2],
                "Labels": labels,
            }
            rows.append(row)
            place = folder if flat else os.path.join(folder, subfolder)
            os.makedirs(place, exist_ok=True)
            pixels = picture(rng, has, build, side).astype(np.uint16) * 16  # 12 of 16 bits
            with open(os.path.join(place, row["ImageID"]), "wb") as file:
                content = tf.io.encode_png(pixels).numpy()
                file.write(content[: len(content) // 2] if len(rows) <= broken else content)
    if broken:
        os.remove(os.path.join(place, row["ImageID"]))
    path = os.path.join(folder, TABLE)
    with gzip.open(f"{path}.gz", "wt") if zipped else open(path, "w", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["", *HEADER])
        table.writerows([i, *row.values()] for i, row in enumerate(rows))
    return len(rows), excluded


def patient_id(number):
    """38 digits; two of them are the same number in floating point."""
    return f"{80 * 10**36 + number}"


def study_id(number):
    """39 digits, as long as in the set."""
    return f"{216840111366964 * 10**24 + number}"
