"""The user's own images as cases: a CSV with a row per image, or a folder per case."""

import dataclasses
import functools
import os

from data_builders.grouping import ImageRow, ReadOptions, group_rows
from data_builders.ids import LITERAL, as_text, is_shortened
from data_builders.image_files import IMAGE_ENDINGS, ImageFolder
from data_builders.reading.columns import column_places, is_exact, parse_columns, unused_note
from data_builders.reading.findings import FindingColumns, parse_findings
from data_builders.reading.missing import USUAL, Missing
from data_builders.reading.tables import Table, counted
from data_builders.schema import BadData
from data_builders.splits import SPLITS

_SPLIT_NAMES = {split: split for split in SPLITS} | {
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validate": "validation",
    "dev": "validation",
    "testing": "test",
}
_IMAGES_OF_A_CASE = 20  # on average over sub-folders; more are classes rather than cases


def read_manifest(
    manifest,
    image_dir="",
    columns="",
    *,
    labels_shared_by_case=True,
    findings="",
    findings_column="",
    options=None,
    missing=USUAL,
):
    """Reads a manifest and groups its images by case. No image is opened.

    Args:
      manifest: a CSV file with a header (UTF-8; comma, semicolon or tab), or a
        folder with a sub-folder per case.
      image_dir: folder that the column `image` is relative to; default: the CSV's own.
        The ending .jpg, .jpeg or .png may be missing in the column.
      columns: other column names, as "image=isic_id,case_id=lesion_id"; see `columns`.
      labels_shared_by_case: the labels, or findings, of a case must agree, and an image
        of the case without one has the case's.
      findings: columns of findings, "Edema,Pleural Effusion", that hold 1, 0, -1
        (uncertain) or nothing (not mentioned). There are no classes then.
      findings_column: a column of names of findings, "Edema|Pleural Effusion", where
        "No Finding" says that there is none, and blank that nothing is known. `findings`
        then says which names to keep, in which order; default: all, sorted.
      options: `ReadOptions`; None for the default ones.
      missing: what stands for nothing, see `missing.Missing`.

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
            of_csv["missing"] = "" if missing == USUAL else missing
            for flag, value in (of_csv | {"findings_column": findings_column}).items():
                if value:
                    raise BadData(f"--{flag}={value}: --manifest={manifest} is a folder, not a CSV")
            finding_names = ()
            rows, notes = _folder_rows(path, options.bad_images)
            if options.group_by == "case":
                notes += _note_on_classes(rows)
        else:
            root = os.path.expanduser(image_dir) or os.path.dirname(path)
            if not os.path.isdir(root or "."):
                raise BadData(f"--image_dir={image_dir}: no such folder")
            rows, finding_names, notes = _csv_rows(
                path,
                ImageFolder(root, options.bad_images, searches=True),
                parse_columns(columns),
                (findings, findings_column),
                Missing(missing),
                options,
            )
    except OSError as error:
        raise BadData(f"--manifest={manifest}: cannot be read: {error.strerror}") from error
    return group_rows(
        rows, options, named_in=f"--manifest={manifest}", finding_names=finding_names,
        labels_shared_by_case=labels_shared_by_case, notes=notes,
    )  # fmt: skip


# ---------------------------------------------------------------- rows


def _folder_rows(root, bad_images):
    """([ImageRow], notes): a case per sub-folder or, where there is none, per image."""
    folder, rows, left_out = ImageFolder(root, bad_images), [], 0
    entries = _visible(root)
    flat = not any(entry.is_dir() for entry in entries)
    for case in entries:
        for file in _visible(case.path) if case.is_dir() else [case]:
            name = file.name if file is case else f"{case.name}/{file.name}"
            if not file.name.lower().endswith(IMAGE_ENDINGS) or (file is case and not flat):
                left_out += 1
            elif image_file := folder.find(name, file.path):
                rows.append(ImageRow(file.path, image_file, name, case.name))
    notes = ["there are no sub-folders: each image is a case of its own"] if flat and rows else []
    what = "left out, being no JPEG, PNG or DICOM (.dcm) of a case folder"
    return rows, notes + counted({what: left_out})


def _note_on_classes(rows):
    """A note where sub-folders hold more images than a case ever has, as those of classes do."""
    cases = len({row.case_id for row in rows})
    if len(rows) <= _IMAGES_OF_A_CASE * cases:
        return []
    return [
        f"the {cases:,} sub-folders have {len(rows) / cases:,.0f} images each, and each is taken "
        "for a case, whose images show one thing of one patient; if they are classes, or splits, "
        "write a table with columns image, case_id and label instead"
    ]


def _visible(folder):
    """What a folder holds, sorted, without hidden files (macOS adds "._photo.jpg" to archives)."""
    with os.scandir(folder) as entries:
        return sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)


def _csv_rows(path, folder, renamed, findings, missing, options):
    """([ImageRow], names of the findings, notes)."""
    table = Table(path)
    place = column_places(table, renamed)
    finding_columns, taken = None, ()
    if any(findings):
        place.pop("label", None)  # beside findings a column like any other
        renamed = {"label": "", **renamed}
        literal = options.ids == LITERAL
        for name in [*parse_findings(findings[0], literal), findings[1].strip()]:
            # A column of findings by its exact name is not ours by a name that is alike.
            place = {
                ours: k
                for ours, k in place.items()
                if table.header[k] != name or ours in renamed or is_exact(ours, name)
            }
        names = {table.header[i]: name for name, i in place.items()}
        finding_columns = FindingColumns(
            path, table.header, findings=findings[0], findings_column=findings[1],
            taken=names, missing=missing, literal=literal,
        )  # fmt: skip
        taken = finding_columns.places.values()
    read = functools.partial(
        _csv_row, header=table.header, place=place, folder=folder,
        finding_columns=finding_columns, missing=missing,
    )  # fmt: skip
    rows = [read(*row) for row in table]
    rows = [row for row in rows if row]
    notes = [unused_note(table, place, renamed, taken), missing.note()]
    notes += _shortened(rows, table.header, place, options)
    if not finding_columns or not rows:
        return rows, (), notes
    names, values = finding_columns.complete([row.findings for row in rows])
    rows = [dataclasses.replace(row, findings=v) for row, v in zip(rows, values, strict=True)]
    return rows, names, notes


def _csv_row(where, fields, *, header, place, folder, finding_columns, missing):
    """The `ImageRow`, or None if its image is left out."""
    value = {name: fields[i] for name, i in place.items()}
    if missing.may_be_in(value.values()):
        for name, text in value.items():
            if name != "image":
                value[name] = missing.read(where, header[place[name]], text, name)
            if not as_text(text):  # of what nobody sees
                value[name] = ""
    for name in ("image", "case_id"):
        if not value[name]:
            raise BadData(f"{where}: column {header[place[name]]} is blank")
    # tfds keeps one class name per line.
    value["label"] = " ".join(value.get("label", "").split())
    if value.get("split"):
        split = as_text(value["split"]).lower()
        if split not in _SPLIT_NAMES:
            column = header[place["split"]]
            advice = "" if column == "split" else (
                f"; if the column {column} is not ours, say --columns=split="
            )  # fmt: skip
            raise BadData(
                f"{where}: split {value['split']} is not one of {', '.join(SPLITS)}{advice}"
            )
        value["split"] = _SPLIT_NAMES[split]
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


def _shortened(rows, header, place, options):
    """Notes on patients whose numbers a spreadsheet shortened.

    Raises:
      BadData: the number of a case was shortened, so that several cases would be one.
    """
    mixed_up = ["case_id"] + ["study_id"] * (options.group_by == "study")
    for name in mixed_up if options.ids != LITERAL else ():
        for row in rows:
            text = getattr(row, name)
            if is_shortened(text):
                raise BadData(
                    f"{row.where}: column {header[place[name]]} holds {text}, a number that a "
                    "spreadsheet shortened: others may be shortened to the same; export ids as "
                    f"text, or say --ids={LITERAL} if they are called so"
                )
    column = header[place["patient_id"]] if "patient_id" in place else ""
    what = f"{column} was shortened by a spreadsheet, as 8.05E+37, so that several patients may "
    number = sum(is_shortened(row.patient_id) for row in rows)
    return counted({what + "pass for one": number}, "image")
