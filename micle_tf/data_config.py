"""The settings that say what to do with which data; the others are in `config.py`.

The prepared data itself is compared when a run is resumed, hence so many volatile ones here.
"""

import dataclasses

from micle_tf.settings import setting

MODES = ("prepare", "pretrain", "linear_eval", "finetune", "evaluate", "export")
_FINDINGS = ("linear_eval", "finetune", "evaluate")


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """What to do, the dataset, how it is prepared, and what counts as a label."""

    mode: str = setting("pretrain", "What to do.", choices=MODES)

    # Data.
    dataset: str = setting(
        "derm_cases",
        "Dataset: chexpert, derm_cases/ham10000, cifar10, ...; several, to pretrain on: A+B.",
    )
    data_dir: str = setting(
        "", "Where prepared data is kept; empty: tensorflow_datasets' own folder.", volatile=True
    )
    manual_dir: str = setting(
        "",
        "Where the files of a dataset lie as its owners ship them; empty: where they were before.",
        volatile=True,
    )
    manifest: str = setting(
        "",
        "Your own images: a CSV with columns image and case_id, or a folder of case folders.",
        volatile=True,
    )
    image_dir: str = setting(
        "",
        "Folder that the manifest's image column is relative to; empty: the manifest's own.",
        volatile=True,
    )
    columns: str = setting(
        "",
        "Other names of the manifest's columns: image=isic_id,case_id=lesion_id; split= for none.",
        volatile=True,
    )
    ids: str = setting(
        "alike",
        "Whether ids of patients that differ in case, blanks, Unicode or form of a number (7, 007) are "
        "one, and cases and labels that do are refused; literal: as they are written.",
        choices=("alike", "literal"),
        volatile=True,
    )
    missing: str = setting(
        "usual",
        "What stands for nothing in a manifest, TEXT,TEXT; empty: blanks alone; usual: nan, NaN, <NA>, "
        "#N/A, None, NA and the others of pandas.",
        volatile=True,
    )
    findings: str = setting(
        "",
        "The findings to predict: Edema,Effusion, or all; of a manifest, its columns (1, 0, -1, "
        "blank).",
        volatile=True,
    )
    findings_column: str = setting(
        "",
        "The manifest's column that lists an image's findings, separated by |.",
        volatile=True,
    )
    labels_shared_by_case: bool = setting(
        True, "The images of a case carry the same label; a contradiction is then an error."
    )
    group_by: str = setting(
        "case",
        "Which images are a case: the dataset's own answer, or those of a study or patient, or "
        "each image alone.",
        choices=("case", "study", "patient", "image"),
        volatile=True,
    )
    max_pixels: int = setting(
        100_000_000,
        "Largest image accepted when data is prepared, in pixels.",
        low=1,
        high=2**31 - 1,
        volatile=True,
    )
    max_image_bytes: int = setting(
        1 << 28,
        "Largest image file accepted when data is prepared, in bytes.",
        low=1,
        high=2**40,
        volatile=True,
    )
    max_bad_images: int = setting(
        0,
        "How many images may be left out because they are missing, damaged or too large.",
        low=0,
        high=10**9,
        volatile=True,
    )
    max_image_side: int = setting(
        0,
        "Shrink stored images to this longer side, in pixels, as JPEG; 0: as they are. Twice "
        "--image_size leaves crops room.",
        low=0,
        high=2**15,
        volatile=True,
    )
    jpeg_quality: int = setting(
        95, "Quality of images that were shrunk.", low=1, high=100, volatile=True
    )
    strip_metadata: bool = setting(
        False,
        "Store JPEG and PNG without EXIF (but the orientation), positions, XMP, comments and texts.",
        volatile=True,
    )
    beam_options: str = setting(
        "",
        "Prepare on Apache Beam with these options: '--runner=DirectRunner'; empty: without.",
        volatile=True,
    )
    dry_run: bool = setting(
        False, "Check everything and report, and write nothing.", volatile=True, only=("prepare",)
    )

    # What counts as a label.
    uncertain: str = setting(
        "ignore",
        "A finding that is uncertain (-1): left out of loss and metrics, or absent, or present.",
        choices=("ignore", "zeros", "ones"),
        only=_FINDINGS,
    )
    unmentioned: str = setting(
        "zeros",
        "A finding that is not mentioned, where others are: absent, or left out.",
        choices=("zeros", "ignore"),
        only=_FINDINGS,
    )
