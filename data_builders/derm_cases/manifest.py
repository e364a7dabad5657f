"""The user's own images as cases: a CSV with a row per image, or a folder per case."""

import collections
import csv
import dataclasses
import hashlib
import io
import json
import os
import pathlib

from data_builders.case_builder import (
    NOT_MENTIONED,
    SPLITS,
    UNLABELLED,
    BadData,
    Case,
    CaseImage,
    complete_splits,
    patient_key,
)
from data_builders.derm_cases.findings import FindingColumns
from data_builders.derm_cases.image_files import IMAGE_ENDINGS, ImageFile, ImageFolder

KNOWN_COLUMNS = ("image", "case_id", "patient_id", "label", "view", "split")
_SPLIT_NAMES = {split: split for split in SPLITS} | {
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validate": "validation",
    "dev": "validation",
    "testing": "test",
}


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a manifest says.

    Attributes:
      cases: {split: [Case]}, of the splits that have any.
      class_names: the labels, sorted; empty if nothing is labelled, or with findings.
      finding_names: in the order of the values; empty where each image has one class.
      labels_shared_by_case: the images of a case carry one label.
      notes: one line each on what was decided for the user.
      fingerprint: hash of what the rows say and of the sizes of the images.
    """

    cases: dict
    class_names: tuple
    finding_names: tuple
    labels_shared_by_case: bool
    notes: tuple
    fingerprint: str


@dataclasses.dataclass(frozen=True)
class _Row:
    """One image as the manifest states it; blank means absent. `where` names file and row."""

    where: str
    file: ImageFile
    image: str
    case_id: str
    patient_id: str = ""
    label: str = ""
    view: str = ""
    split: str = ""
    findings: tuple = ()
    attributes: dict = dataclasses.field(default_factory=dict)

    @property
    def source(self):
        """Row and file, for messages about what is in the file."""
        shown = self.file.shown
        return shown if self.where == shown else f"{self.where}: {shown}"


def read_manifest(
    manifest,
    image_dir="",
    columns="",
    labels_shared_by_case=True,
    findings="",
    findings_column="",
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

    Returns:
      A `Manifest`.

    Raises:
      BadData: one line that names the file and the row, or the flag. A row is the
        line of the file on which it begins; the header is row 1.
    """
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
            rows, left_out = _folder_rows(path)
            if left_out:
                notes.append(f"left out, being no JPEG or PNG of a case folder: {left_out:,}")
        else:
            root = os.path.expanduser(image_dir) or os.path.dirname(path)
            if not os.path.isdir(root or "."):
                raise BadData(f"--image_dir={image_dir}: no such folder")
            rows, finding_names = _csv_rows(
                path, ImageFolder(root), parse_columns(columns), findings, findings_column
            )
    except OSError as error:
        raise BadData(f"--manifest={manifest}: cannot be read: {error.strerror}") from error
    if not rows:
        raise BadData(f"--manifest={manifest}: no images in it")
    return _group(rows, finding_names, labels_shared_by_case, notes)


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


def _folder_rows(root):
    """([_Row], how many files are no image of a case)."""
    folder, rows, left_out = ImageFolder(root), [], 0
    for case in _visible(root):
        if not case.is_dir():
            left_out += 1
            continue
        for file in _visible(case.path):
            if file.name.lower().endswith(IMAGE_ENDINGS):
                found = folder.find(f"{case.name}/{file.name}", file.path)
                rows.append(_Row(file.path, found, f"{case.name}/{file.name}", case.name))
            else:
                left_out += 1
    return rows, left_out


def _visible(folder):
    """What a folder holds, sorted, without hidden files (macOS adds "._photo.jpg" to archives)."""
    with os.scandir(folder) as entries:
        return sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)


def _csv_rows(manifest, folder, renamed, findings, findings_column):
    """([_Row], names of the findings)."""
    text = _read_text(manifest)
    rows, line = [], 1  # the line on which the next record begins
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
        header = [name.strip() for name in next(reader, [])]
        place = _column_places(manifest, header, renamed)
        finding_columns = None
        if findings or findings_column:
            place.pop("label", None)  # beside findings a column like any other
            taken = {header[i]: name for name, i in place.items()}
            finding_columns = FindingColumns(manifest, header, findings, findings_column, taken)
        line = reader.line_num + 1
        for fields in reader:
            where, line = f"{manifest} row {line}", reader.line_num + 1
            fields = [field.strip() for field in fields]
            if any(fields):
                rows.append(_csv_row(where, fields, header, place, folder, finding_columns))
    except csv.Error as error:
        raise BadData(f"{manifest} row {line}: not valid CSV: {error}") from None
    if not finding_columns or not rows:
        return rows, ()
    names, values = finding_columns.complete([row.findings for row in rows])
    return [dataclasses.replace(row, findings=v) for row, v in zip(rows, values)], names


def _read_text(path):
    content = pathlib.Path(path).read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = 1 + error.object[: error.start].count(b"\n")
        raise BadData(f"{path} row {row}: not UTF-8 text") from None
    if not text.strip():
        raise BadData(f"{path}: the file is empty")
    if "\0" in text:
        row = 1 + text[: text.index("\0")].count("\n")
        raise BadData(f"{path} row {row}: a zero byte: this is not a text file")
    return text


def _delimiter(text):
    """The one of comma, semicolon and tab that cuts the header into most columns."""
    header = next(io.StringIO(text, newline=""))
    return max(",;\t", key=lambda mark: len(next(csv.reader([header], delimiter=mark), [])))


def _column_places(manifest, header, renamed):
    """{our name: position} of the columns there are."""
    for name, count in collections.Counter(header).items():
        if name and count > 1:
            raise BadData(f"{manifest} row 1: {count} columns are named {name}")
    place, present = {}, ", ".join(filter(None, header)) or "none"
    for ours in KNOWN_COLUMNS:
        theirs = renamed.get(ours, ours)
        if ours == "view" and ours not in renamed and "view" not in header:
            theirs = "view_position"
        if theirs in header:
            place[ours] = header.index(theirs)
        elif ours in renamed:
            raise BadData(
                f"--columns={ours}={theirs}: {manifest} has no column {theirs}; it has {present}"
            )
        elif ours in ("image", "case_id"):
            raise BadData(
                f"{manifest} row 1: no column {ours}; it has {present}; "
                f"name yours with --columns={ours}=..."
            )
    return place


def _csv_row(where, fields, header, place, folder, finding_columns):
    if len(fields) != len(header):
        raise BadData(f"{where}: {len(fields)} fields, but the header has {len(header)}")
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
    return _Row(where=where, file=file, attributes=attributes, **value)


# ---------------------------------------------------------------- cases


def _group(rows, finding_names, labels_shared_by_case, notes):
    by_case, by_file = collections.defaultdict(list), {}
    for row in rows:
        first = by_file.setdefault(row.file.key, row)
        if first is not row:
            same = first.case_id == row.case_id
            again = "is there twice" if same else f"is in case {first.case_id} too"
            raise BadData(f"{row.where}: image {row.image} {again} ({first.where})")
        by_case[row.case_id].append(row)
    class_names = tuple(sorted({row.label for row in rows if row.label}))
    class_of = {name: number for number, name in enumerate(class_names)} | {"": UNLABELLED}

    cases, first_stated = [], {}
    for case_id, members in by_case.items():
        patient_id = _agreed(members, [row.patient_id for row in members], "is of patient")
        label, findings = "", ()
        if labels_shared_by_case:
            advice = "; if the images of a case may differ, say --labels_shared_by_case=false"
            label = _agreed(members, [row.label for row in members], "has label", advice)
            per_finding = zip(finding_names, zip(*(row.findings for row in members)))
            findings = tuple(
                _agreed(members, values, f"has {name}", advice, absent=NOT_MENTIONED)
                for name, values in per_finding
            )
        images = tuple(
            CaseImage(
                image_id=row.image,
                read=pathlib.Path(row.file.path).read_bytes,
                view_position=row.view,
                class_label=class_of[row.label or label],
                findings=findings or row.findings,
                source=row.source,
            )
            for row in members
        )
        cases.append(Case(case_id, patient_id, images, _case_attributes(members)))
        key = patient_key(patient_id, case_id)
        first_stated.setdefault(key, None)
        for row in members:
            if row.split:
                first_stated[key] = first = first_stated[key] or row
                if first.split != row.split:
                    raise BadData(
                        f"{row.where}: {key} is in {row.split}, but in {first.split} in "
                        f"{first.where}; a patient must stay in one split"
                    )

    split_of, note = complete_splits(
        {key: row.split if row else "" for key, row in first_stated.items()}
    )
    by_split = {split: [] for split in SPLITS}
    for case in cases:
        by_split[split_of[patient_key(case.patient_id, case.case_id)]].append(case)
    return Manifest(
        cases={split: members for split, members in by_split.items() if members},
        class_names=class_names,
        finding_names=finding_names,
        labels_shared_by_case=labels_shared_by_case,
        notes=tuple(notes + [note] if note else notes),
        fingerprint=_fingerprint(rows, finding_names, labels_shared_by_case),
    )


def _agreed(members, values, verb, advice="", absent=""):
    """The one value the rows of a case state, or `absent`; raises BadData on a contradiction."""
    stated = [(row, value) for row, value in zip(members, values) if value != absent]
    for row, value in stated:
        first, agreed = stated[0]
        if value != agreed:
            raise BadData(
                f"{row.where}: case {row.case_id} {verb} {value}, but {agreed} in "
                f"{first.where}{advice}"
            )
    return stated[0][1] if stated else absent


def _case_attributes(members):
    """One value per attribute where the images agree, else a list with one per image."""
    attributes = {}
    for name in dict.fromkeys(name for row in members for name in row.attributes):
        values = [row.attributes.get(name, "") for row in members]
        attributes[name] = values[0] if len(set(values)) == 1 else values
    return attributes


def _fingerprint(rows, finding_names, labels_shared_by_case):
    digest = hashlib.sha256(json.dumps(labels_shared_by_case).encode())
    if finding_names:
        digest.update(json.dumps(finding_names).encode())
    for row in rows:
        stated = [row.image, row.case_id, row.patient_id, row.label, row.view, row.split]
        stated += [row.attributes, row.file.size, *row.findings]
        digest.update(json.dumps(stated, sort_keys=True).encode())
    return digest.hexdigest()
