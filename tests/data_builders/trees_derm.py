"""Made-up folders in the formats of the public sets of `derm_cases`, with their quirks.

The photos are rectangles on skin: the class decides the colour, the case jitters it, and the
photo has a place and a light of its own. So a classifier learns something, and the photos of a
case have more in common than their class.
"""

import csv
import pathlib

import numpy as np
import tensorflow as tf

from data_builders.derm_cases import ham10000, isic2019, pad_ufes_20

SCIN_CONDITIONS = ("Eczema", "Insect Bite", "Psoriasis", "Urticaria")


def write_tree(folder, name, num_cases=60, seed=0, side=24):
    """Writes a set as its owners ship it.

    Args:
      folder: where to; made if it is not there.
      name: "ham10000", "pad_ufes_20", "isic2019" or "scin".
      num_cases: how many cases, 6 or more; they have 1 to 3 photos.
      seed: of everything.
      side: of the photos, in pixels.

    Returns:
      What a reader must find: {"images", "cases", "several", "labelled"}, counts; "several" of
      cases with several images, "labelled" of images.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write = {"ham10000": _ham10000, "pad_ufes_20": _pad_ufes_20, "isic2019": _isic2019}
    write["scin"] = _scin
    rng = np.random.default_rng([seed, num_cases])
    # The first three have 1 to 3 photos whatever the seed.
    sizes = [1 + k if k < 3 else int(rng.integers(1, 4)) for k in range(num_cases)]
    return write[name](folder, sizes, _Camera(rng, side))


def counts_of(source):
    """What `write_tree` promises, counted in a `CaseSource`."""
    cases = [case for members in source.cases.values() for case in members]
    images = [image for case in cases for image in case.images]
    return dict(
        images=len(images),
        cases=len(cases),
        several=sum(len(case.images) > 1 for case in cases),
        labelled=sum(image.class_label >= 0 for image in images),
    )


class _Camera:
    def __init__(self, rng, side):
        self.rng, self.side = rng, side

    def lesion(self, label, num_labels):
        """The colour of a lesion, RGB in [0, 1]."""
        angle = 2 * np.pi * label / num_labels
        colour = 0.5 + 0.3 * np.cos(angle + np.array([0, 2.1, 4.2]))
        return np.clip(colour + self.rng.normal(0, 0.05, 3), 0, 1)

    def save(self, path, colour, alpha=False):
        """Takes one photo of it: JPEG or PNG, as the path ends."""
        picture = np.full((self.side, self.side, 3), [0.85, 0.7, 0.6]) * self.rng.uniform(0.8, 1.1)
        width = self.side // 2
        y, x = self.rng.integers(0, self.side - width, 2)
        picture[y : y + width, x : x + width] = colour * self.rng.uniform(0.8, 1.1)
        pixels = np.uint8(255 * np.clip(picture, 0, 1))
        if alpha:
            pixels = np.concatenate([pixels, np.full_like(pixels[..., :1], 255)], -1)
        encode = tf.io.encode_png if path.suffix == ".png" else tf.io.encode_jpeg
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(pixels).numpy())


def _write_csv(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header.split(","), *rows])


def _counts(sizes, labelled=None):
    several = sum(size > 1 for size in sizes)
    labelled = sum(sizes) if labelled is None else labelled
    return dict(images=sum(sizes), cases=len(sizes), several=several, labelled=labelled)


def _ham10000(folder, sizes, camera):
    rows, rng = [], camera.rng
    for case, size in enumerate(sizes):
        label = case % len(ham10000.CLASS_NAMES)
        colour = camera.lesion(label, len(ham10000.CLASS_NAMES))
        said = [
            ("histo", "follow_up", "consensus", "confocal")[case % 4],
            ("80.0", "45", "")[case % 3],
            ("male", "female", "unknown")[case % 3],
            ("back", "lower extremity", "unknown")[case % 3],
            ("vidir_modern", "rosendahl")[case % 2],
        ]
        for _ in range(size):
            image = f"ISIC_{24306 + len(rows):07d}"
            part = f"HAM10000_images_part_{1 + len(rows) % 2}"
            camera.save(folder / part / f"{image}.jpg", colour)
            rows.append([f"HAM_{case:07d}", image, ham10000.CLASS_NAMES[label], *said])
    rng.shuffle(rows)
    header = "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset"
    _write_csv(folder / "HAM10000_metadata", header, rows)
    return _counts(sizes)


def _pad_ufes_20(folder, sizes, camera):
    """Two cases a patient; cases k and k + 3 have one lesion_id, but are other patients'."""
    rows, rng = [], camera.rng
    for case, size in enumerate(sizes):
        patient, lesion = f"PAT_{10 + case // 2}", 100 + case % 3
        label = case % len(pad_ufes_20.CLASS_NAMES)
        colour = camera.lesion(label, len(pad_ufes_20.CLASS_NAMES))
        known = case % 3 > 0
        history = ["False", "True", "GERMANY", "ITALY"] if known else [""] * 4
        history.append(str(30 + case % 50))
        history += (
            ["True", ("MALE", "FEMALE")[case % 2], "True", "False", "True", "True"]
            if known
            else [""] * 6
        )
        body = [f"{1 + case % 6}.0" if known else "", ("FOREARM", "FACE")[case % 2]]
        body += ["9.0", "7.0"] if known else ["", ""]
        signs = [("True", "False", "UNK")[(case + k) % 3] for k in range(6)]
        for _ in range(size):
            image = f"{patient}_{lesion}_{len(rows)}.png"
            part = f"images/imgs_part_{1 + len(rows) % 3}"
            camera.save(folder / part / image, colour, alpha=len(rows) % 5 == 0)
            diagnosis = pad_ufes_20.CLASS_NAMES[label]
            end = [image, str(known)]
            rows.append([patient, lesion, *history, *body, diagnosis, *signs, *end])
    rng.shuffle(rows)
    header = (
        "patient_id,lesion_id,smoke,drink,background_father,background_mother,age,pesticide,gender,"
        "skin_cancer_history,cancer_history,has_piped_water,has_sewage_system,fitspatrick,region,"
        "diameter_1,diameter_2,diagnostic,itch,grew,hurt,changed,bleed,elevation,img_id,biopsed"
    )
    _write_csv(folder / "metadata.csv", header, rows)
    return _counts(sizes)


def _isic2019(folder, sizes, camera):
    """Of every six cases with one image, one has no lesion_id; every third image is downsampled."""
    metadata, labels, rng = [], [], camera.rng
    columns = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")
    for case, size in enumerate(sizes):
        name = isic2019.CLASS_NAMES[case % len(isic2019.CLASS_NAMES)]
        colour = camera.lesion(case % len(isic2019.CLASS_NAMES), len(isic2019.CLASS_NAMES))
        lesion = f"{('BCN_', 'HAM_', 'MSK4_')[case % 3]}{case:07d}"
        if size == 1 and case % 6 == 0:
            lesion = ""
        said = [("55.0", "")[case % 2], ("anterior torso", "")[case % 2], lesion]
        said.append(("female", "male", "")[case % 3])
        for _ in range(size):
            image = f"ISIC_{54321 + len(labels):07d}" + "_downsampled" * (len(labels) % 3 == 0)
            camera.save(folder / "ISIC_2019_Training_Input" / f"{image}.jpg", colour)
            labels.append([image, *(float(name == column) for column in columns)])
            metadata.append([image, *said])
    rng.shuffle(labels)
    header = "image,age_approx,anatom_site_general,lesion_id,sex"
    _write_csv(folder / "ISIC_2019_Training_Metadata.csv", header, metadata)
    header = ",".join(["image", *columns])
    _write_csv(folder / "ISIC_2019_Training_GroundTruth.csv", header, labels)
    return _counts(sizes)


SCIN_CASE_COLUMNS = (
    "case_id,source,release,year,age_group,sex_at_birth,fitzpatrick_skin_type,"
    "race_ethnicity_american_indian_or_alaska_native,race_ethnicity_asian,"
    "race_ethnicity_black_or_african_american,race_ethnicity_hispanic_latino_or_spanish_origin,"
    "race_ethnicity_middle_eastern_or_north_african,"
    "race_ethnicity_native_hawaiian_or_pacific_islander,race_ethnicity_white,"
    "race_ethnicity_other_race,race_ethnicity_prefer_not_to_answer,textures_raised_or_bumpy,"
    "textures_flat,textures_rough_or_flaky,textures_fluid_filled,body_parts_head_or_neck,"
    "body_parts_arm,body_parts_palm,body_parts_back_of_hand,body_parts_torso_front,"
    "body_parts_torso_back,body_parts_genitalia_or_groin,body_parts_buttocks,body_parts_leg,"
    "body_parts_foot_top_or_side,body_parts_foot_sole,body_parts_other,"
    "condition_symptoms_bothersome_appearance,condition_symptoms_bleeding,"
    "condition_symptoms_increasing_size,condition_symptoms_darkening,condition_symptoms_itching,"
    "condition_symptoms_burning,condition_symptoms_pain,"
    "condition_symptoms_no_relevant_experience,other_symptoms_fever,other_symptoms_chills,"
    "other_symptoms_fatigue,other_symptoms_joint_pain,other_symptoms_mouth_sores,"
    "other_symptoms_shortness_of_breath,other_symptoms_no_relevant_symptoms,related_category,"
    "condition_duration,image_1_path,image_2_path,image_3_path,image_1_shot_type,"
    "image_2_shot_type,image_3_shot_type,combined_race,"
    "race_ethnicity_two_or_more_after_mitigation"
)
SCIN_LABEL_COLUMNS = (
    "case_id,dermatologist_gradable_for_skin_condition_1,"
    "dermatologist_gradable_for_skin_condition_2,dermatologist_gradable_for_skin_condition_3,"
    "dermatologist_skin_condition_on_label_name,dermatologist_skin_condition_confidence,"
    "weighted_skin_condition_label,dermatologist_gradable_for_fitzpatrick_skin_type_1,"
    "dermatologist_gradable_for_fitzpatrick_skin_type_2,"
    "dermatologist_gradable_for_fitzpatrick_skin_type_3,"
    "dermatologist_fitzpatrick_skin_type_label_1,dermatologist_fitzpatrick_skin_type_label_2,"
    "dermatologist_fitzpatrick_skin_type_label_3,gradable_for_monk_skin_tone_india,"
    "gradable_for_monk_skin_tone_us,monk_skin_tone_label_india,monk_skin_tone_label_us"
)


def _scin(folder, sizes, camera):
    """Every fifth case has no label, and the last case shows the first one's photo once more."""
    cases, labels, rng, labelled = [], [], camera.rng, 0
    sizes = [*sizes[:-1], 2]
    shots = ("CLOSE_UP", "AT_AN_ANGLE", "AT_DISTANCE")
    for case, size in enumerate(sizes):
        case_id = str((-1) ** case * (1234567890123456789 + case))
        label = case % len(SCIN_CONDITIONS)
        colour = camera.lesion(label, len(SCIN_CONDITIONS))
        said = {
            "case_id": case_id, "source": "SCIN", "release": "1.0.0", "year": "2023",
            "age_group": ("AGE_30_TO_39", "AGE_UNKNOWN")[case % 2],
            "sex_at_birth": ("FEMALE", "MALE")[case % 2],
            "fitzpatrick_skin_type": ("FST3", "NONE_IDENTIFIED")[case % 2],
            "race_ethnicity_white": "YES",
            "textures_raised_or_bumpy": "YES",
            "body_parts_arm": "YES", "body_parts_leg": ("YES", "")[case % 2],
            "related_category": "RASH", "condition_duration": "ONE_TO_FOUR_WEEKS",
        }  # fmt: skip
        for k in range(size):
            image = f"{(-1) ** k * (1111111111111111111 + 10 * case + k)}.png"
            camera.save(folder / "dataset/images" / image, colour)
            said |= {f"image_{k + 1}_path": f"dataset/images/{image}"}
            said |= {f"image_{k + 1}_shot_type": shots[k]}
        if case == len(sizes) - 1:
            said |= {"image_3_path": cases[0]["image_1_path"], "image_3_shot_type": shots[0]}
        cases.append(said)
        graded = {"case_id": case_id, "monk_skin_tone_label_us": "4.0"}
        if case % 5 < 4:
            labelled += size
            second = SCIN_CONDITIONS[label - 1]
            weights = {SCIN_CONDITIONS[label]: 0.67, second: 0.33}
            if case % 5 == 1:  # a tie: the first one counts
                weights = {SCIN_CONDITIONS[label]: 0.5, second: 0.5}
            graded["weighted_skin_condition_label"] = repr(weights)
            graded["dermatologist_skin_condition_on_label_name"] = repr(list(weights))
            graded["dermatologist_skin_condition_confidence"] = "[4, 2]"
        labels.append(graded)
    rng.shuffle(labels)
    for name, header, rows in [
        ("scin_cases.csv", SCIN_CASE_COLUMNS, cases),
        ("scin_labels.csv", SCIN_LABEL_COLUMNS, labels),
    ]:
        rows = [[row.get(column, "") for column in header.split(",")] for row in rows]
        _write_csv(folder / "dataset" / name, header, rows)
    return _counts(sizes, labelled)
