"""Settings of the data: which cases, how their images are stored, what counts as a label."""

import dataclasses
import functools

from micle_tf.config.modes import JUDGE
from micle_tf.dataset_names import labels_are_per_image, made_from_files, prepared_here
from micle_tf.settings import Needs, Tag, setting

_data = functools.partial(setting, group="data")
_stored = functools.partial(_data, volatile=True, tags=Tag.STORED)
_FILES = Needs("without data that is made from files", made_from_files)
_FILES_OR_EXPORT = Needs(
    _FILES.otherwise, lambda config: config.mode == "export" or made_from_files(config)
)
_SHRUNK = Needs(
    "without --max_image_side", lambda config: config.max_image_side and made_from_files(config)
)
_FINDINGS_OR_MANIFEST = Needs(
    "without --manifest in this mode", lambda config: config.manifest or config.mode in JUDGE
)
_LABELS_OF_CASES = Needs(
    "where images have labels of their own, or are cases of their own",
    lambda config: made_from_files(config) and not labels_are_per_image(config),
)


@dataclasses.dataclass(frozen=True)
class Source:
    """Which cases there are, and where their files and what is prepared of them lie.

    The prepared data itself is compared when a run is resumed, hence so many volatile ones.
    """

    dataset: str = _data(
        "derm_cases",
        "Dataset: chexpert, derm_cases/ham10000, cifar10, ...; several, to pretrain on: A+B.",
        common=True, tags=Tag.NAMES_DATA,
    )  # fmt: skip
    data_dir: str = _data(
        "", "Where prepared data is kept; empty: tensorflow_datasets' own folder.", volatile=True,
        path=True, common=True, tags=Tag.INHERITED | Tag.DATA_PLACE,
    )  # fmt: skip
    manual_dir: str = _data(
        "",
        "Where the files of a dataset lie as its owners ship them; empty: where they were before.",
        volatile=True, path=True, common=True, tags=Tag.READ,
    )  # fmt: skip
    manifest: str = _data(
        "", "Your own images: a CSV with columns image and case_id, or a folder of case folders.",
        volatile=True, path=True, common=True, tags=Tag.CASES | Tag.NAMES_DATA | Tag.DATA_PLACE,
    )  # fmt: skip
    image_dir: str = _data(
        "", "Folder that the manifest's image column is relative to; empty: the manifest's own.",
        volatile=True, path=True, tags=Tag.CASES | Tag.OF_MANIFEST | Tag.DATA_PLACE,
    )  # fmt: skip
    columns: str = _data(
        "",
        "Other names of the manifest's columns: image=isic_id,case_id=lesion_id; split= for none.",
        volatile=True, tags=Tag.CASES | Tag.OF_MANIFEST,
    )  # fmt: skip
    ids: str = _data(
        "alike", "Whether ids of patients that differ in case, blanks, Unicode or form of a "
        "number (7, 007) are one, and cases and labels that do are refused; literal: as they are "
        "written.", choices=("alike", "literal"), volatile=True, tags=Tag.READ,
    )  # fmt: skip
    missing: str = _data(
        "usual", "What stands for nothing in a manifest, TEXT,TEXT; empty: blanks alone; usual: "
        "nan, NaN, <NA>, #N/A, None, NA and the others of pandas.", volatile=True,
        tags=Tag.READ | Tag.OF_MANIFEST,
    )  # fmt: skip
    findings: str = _data(
        "", "The findings to predict: Edema,Effusion, or all; of a manifest, its columns (1, 0, "
        "-1, blank).", volatile=True, common=True, needs=_FINDINGS_OR_MANIFEST, tags=Tag.CASES,
    )  # fmt: skip
    findings_column: str = _data(
        "", "The manifest's column that lists an image's findings, separated by |.", volatile=True,
        tags=Tag.CASES | Tag.OF_MANIFEST,
    )  # fmt: skip
    labels_shared_by_case: bool = _data(
        True, "The images of a case carry the same label; a contradiction is then an error.",
        needs=_LABELS_OF_CASES, tags=Tag.CASES,
    )  # fmt: skip
    group_by: str = _data(
        "case", "Which images are a case: the dataset's own answer, or those of a study or "
        "patient, or each image alone.", choices=("case", "study", "patient", "image"),
        volatile=True, tags=Tag.CASES,
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Storage:
    """How images are stored when data is prepared."""

    max_pixels: int = _stored(
        100_000_000,
        "Largest image accepted when data is prepared, or what an export takes at once, in pixels.",
        low=1, high=2**31 - 1, needs=_FILES_OR_EXPORT,
    )  # fmt: skip
    max_image_bytes: int = _stored(
        1 << 28, "Largest image file accepted when data is prepared, in bytes.", low=1, high=2**40,
        needs=_FILES, tags=Tag.STORED_LATER,
    )  # fmt: skip
    max_bad_images: int = _stored(
        0, "How many images may be left out because they are missing, damaged or too large.",
        low=0, high=10**9, needs=_FILES,
    )  # fmt: skip
    max_image_side: int = _stored(
        0, "Shrink stored images to this longer side, in pixels, as JPEG; 0: as they are. Twice "
        "--image_size leaves crops room.", low=0, high=2**15, needs=_FILES,
    )  # fmt: skip
    jpeg_quality: int = _stored(
        95, "Quality of images that were shrunk.", low=1, high=100, needs=_SHRUNK
    )
    strip_metadata: bool = _stored(
        False, "Store JPEG and PNG without EXIF (but the orientation), positions, XMP, comments "
        "and texts.", needs=_FILES, tags=Tag.STORED_LATER,
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Preparation:
    """How data is prepared, and whether anything is written."""

    beam_options: str = _data(
        "", "Prepare on Apache Beam with these options: '--runner=DirectRunner'; empty: without.",
        volatile=True, needs=Needs("with sets of tensorflow_datasets", prepared_here),
    )  # fmt: skip
    dry_run: bool = _data(
        False, "Write nothing. prepare: check everything and report; pretrain, finetune: the "
        "plan, with memory and time, from ten steps; study: its runs.", volatile=True,
        only=("prepare", "pretrain", "finetune", "study"), common=True, tags=Tag.COMMAND,
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class LabelPolicy:
    """What a finding that is not certain counts as."""

    uncertain: str = _data(
        "ignore",
        "A finding that is uncertain (-1): left out of loss and metrics, or absent, or present.",
        choices=("ignore", "zeros", "ones"), only=JUDGE, tags=Tag.POLICY,
    )  # fmt: skip
    unmentioned: str = _data(
        "zeros", "A finding that is not mentioned, where others are: absent, or left out.",
        choices=("zeros", "ignore"), only=JUDGE, tags=Tag.POLICY,
    )  # fmt: skip
