"""The user's own images as cases: a CSV with a row per image, or a folder per case."""

import dataclasses
import os

from data_builders.case_builder import BadData
from data_builders.findings import FindingColumns
from data_builders.grouping import ImageRow, ReadOptions, group_rows
from data_builders.image_files import IMAGE_ENDINGS, ImageFolder
from data_builders.splits import SPLITS
from data_builders.tables import Table

KNOWN_COLUMNS = ("image", "case_id", "patient_id", "study_id", "label", "view", "split")
_SPLIT_NAMES = {split: split for split in SPLITS} | {
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validate": "validation",
    "dev": "validation",
    "testing": "test",
}


def read_manifest(
    manifest,
    image_dir="",
    columns="",
    labels_shared_by_case=True,
    findings="",
    findings_column="",
    options=None,
):
    """Reads a manifest and groups its images by case. No image is opened.

    Args:
      manifest: a CSV file with a header (UTF-8; comma, semicolon or tab), or a
        folder with a sub-folder per case.
      image_dir: folder that the column `image` is relative to; default: the CSV's own.
        The ending .jpg, .jpeg or .png may be missing in the column.
      columns: other column names, as "image=isic_id,case_id=lesion_id".
      labels_shared_by_case: the labels, or findings, of a case must agree, and an image
        of the case without one has the case's.
      findings: columns of findings, "Edema,Pleural Effusion", that hold 1, 0, -1
        (uncertain) or nothing (not mentioned). There are no classes then.
      findings_column: a column of names of findings, "Edema|Pleural Effusion", where
        "No Finding" says that there is none, and blank that nothing is known. `findings`
        then says which names to keep, in which order; default: all, sorted.
      options: `ReadOptions`; None for the default ones.

    Returns:
      A `CaseSource`.

    Raises:
      BadData: one line that names the file and the row, or the flag. A row is the
        line of the file on which it begins; the header is row 1.
    """
    options = options or ReadOptions()
    path = os.path.expanduser(manifest)
    try:
        if not os.path.exists(path):
            raise BadData(f"--manifest={manifest}: no such file or folder")
        notes = []
        if os.path.isdir(path):
            of_csv = {"image_dir": image_dir, "columns": columns, "findings": findings}
            for flag, value in (of_csv | {"findings_column": findings_column}).items():
                if value:
                    raise BadData(f"--{flag}={value}: --manifest={manifest} is a folder, not a CSV")
            finding_names = ()
            rows, left_out = _folder_rows(path, options.bad_images)
            if left_out:
                notes.append(
                    f"left out, being no JPEG, PNG or DICOM (.dcm) of a case folder: {left_out:,}"
                )
        else:
            root = os.path.expanduser(image_dir) or os.path.dirname(path)
            if not os.path.isdir(root or "."):
                raise BadData(f"--image_dir={image_dir}: no such folder")
            rows, finding_names = _csv_rows(
                path,
                ImageFolder(root, options.bad_images),
                parse_columns(columns),
                findings,
                findings_column,
            )
    except OSError as error:
        raise BadData(f"--manifest={manifest}: cannot be read: {error.strerror}") from error
    if not rows:
        raise BadData(f"--manifest={manifest}: no images in it")
    return group_rows(
        rows, options, finding_names=finding_names,
        labels_shared_by_case=labels_shared_by_case, notes=notes,
    )  # fmt: skip


def parse_columns(text):
    """Reads --columns into {our name: the manifest's name}; raises BadData."""
    names = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        ours, _, theirs = (part.strip() for part in item.partition("="))
        ours = "view" if ours == "view_position" else ours
        if not theirs or ours not in KNOWN_COLUMNS:
            raise BadData(
                f"--columns={text}: {item!r} is not OURS=YOURS with OURS one of "
                f"{', '.join(KNOWN_COLUMNS)}"
            )
        if ours in names:
            raise BadData(f"--columns={text}: {ours} is named twice")
        names[ours] = theirs
    return names


# ---------------------------------------------------------------- rows


def _folder_rows(root, bad_images):
    """([ImageRow], how many files are no image of a case)."""
    folder, rows, left_out = ImageFolder(root, bad_images), [], 0
    for case in _visible(root):
        if not case.is_dir():
            left_out += 1
            continue
        for file in _visible(case.path):
            if file.name.lower().endswith(IMAGE_ENDINGS):
                found = folder.find(f"{case.name}/{file.name}", file.path)
                if found:
                    rows.append(ImageRow(file.path, found, f"{case.name}/{file.name}", case.name))
            else:
                left_out += 1
    return rows, left_out


def _visible(folder):
    """What a folder holds, sorted, without hidden files (macOS adds "._photo.jpg" to archives)."""
    with os.scandir(folder) as entries:
        return sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)


def _csv_rows(path, folder, renamed, findings, findings_column):
    """([ImageRow], names of the findings)."""
    table = Table(path)
    place = _column_places(table, renamed)
    finding_columns = None
    if findings or findings_column:
        place.pop("label", None)  # beside findings a column like any other
        taken = {table.header[i]: name for name, i in place.items()}
        finding_columns = FindingColumns(path, table.header, findings, findings_column, taken)
    rows = [_csv_row(*row, table.header, place, folder, finding_columns) for row in table]
    rows = [row for row in rows if row]
    if not finding_columns or not rows:
        return rows, ()
    names, values = finding_columns.complete([row.findings for row in rows])
    return [dataclasses.replace(row, findings=v) for row, v in zip(rows, values)], names


def _column_places(table, renamed):
    """{our name: position} of the columns there are."""
    place = {}
    for ours in KNOWN_COLUMNS:
        theirs = renamed.get(ours, ours)
        if ours == "view" and ours not in renamed and "view" not in table.header:
            theirs = "view_position"
        if theirs in table.header:
            place[ours] = table.header.index(theirs)
        elif ours in renamed:
            raise BadData(
                f"--columns={ours}={theirs}: {table.path} has no column {theirs}; "
                f"it has {table.listed()}"
            )
        elif ours in ("image", "case_id"):
            raise BadData(
                f"{table.path} row 1: no column {ours}; it has {table.listed()}; "
                f"name yours with --columns={ours}=..."
            )
    return place


def _csv_row(where, fields, header, place, folder, finding_columns):
    """The `ImageRow`, or None if its image is left out."""
    value = {name: fields[i] for name, i in place.items()}
    for name in ("image", "case_id"):
        if not value[name]:
            raise BadData(f"{where}: column {header[place[name]]} is blank")
    # tfds keeps one class name per line.
    value["label"] = " ".join(value.get("label", "").split())
    if value.get("split"):
        if value["split"].lower() not in _SPLIT_NAMES:
            raise BadData(f"{where}: split {value['split']} is not one of {', '.join(SPLITS)}")
        value["split"] = _SPLIT_NAMES[value["split"].lower()]
    file = folder.find(value["image"], where)
    value["image"] = folder.image_id(value["image"])
    ours = set(place.values())
    if finding_columns:
        value["findings"] = finding_columns.read(where, fields)
        ours.update(finding_columns.places.values())
    attributes = {
        header[i]: field for i, field in enumerate(fields) if i not in ours and header[i] and field
    }
    return file and ImageRow(where=where, file=file, attributes=attributes, **value)
