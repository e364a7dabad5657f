"""SCIN: photos of skin conditions that people took themselves; a case has one to three."""

import ast
import collections
import json
import math
import os
import sys

from data_builders.grouping import ImageRow, group_rows
from data_builders.image_files import ImageFolder
from data_builders.reading.tables import Table, counted, find_table, own_table, stated
from data_builders.schema import BadData

DESCRIPTION = "SCIN: 5,033 cases of one to three photos taken by the people themselves."
CLASS_NAMES = ()  # those that occur

_CASES, _LABELS = "scin_cases.csv", "scin_labels.csv"
_HOW_TO_GET = (
    f"{_CASES} and {_LABELS} lie side by side, with the folder images beside them, as in the "
    "folder dataset of gs://dx-scin-public-data"
)
_CASE_ATTRIBUTES = (
    "age_group", "sex_at_birth", "fitzpatrick_skin_type", "related_category", "condition_duration",
)  # fmt: skip
_LABEL_ATTRIBUTES = (
    "dermatologist_fitzpatrick_skin_type_label_1", "dermatologist_fitzpatrick_skin_type_label_2",
    "dermatologist_fitzpatrick_skin_type_label_3", "monk_skin_tone_label_india",
    "monk_skin_tone_label_us",
)  # fmt: skip
# Columns of YES or nothing: those that say YES become one attribute, "arm, leg".
_YES_COLUMNS = ("textures", "body_parts", "condition_symptoms", "other_symptoms")
_SAYS_NOTHING = {"AGE_UNKNOWN", "NONE_IDENTIFIED", "OTHER_OR_UNSPECIFIED", "UNKNOWN"}


def read(folder, options):
    """Reads SCIN as its owners ship it. No image is opened.

    Args:
      folder: holds scin_cases.csv, scin_labels.csv and the images, in whatever sub-folders; or
        holds a folder dataset, scin or scin/dataset that does.
      options: `grouping.ReadOptions`. There are no studies and no patients.

    Returns:
      A `CaseSource`: one class per case, the condition of the greatest weight and of several
      the one that is named first. All weights are in the attribute "differential", as JSON.

    Raises:
      BadData: one line that names the flag, or file and row.
    """
    folder, table = own_table(folder, (_CASES,), _HOW_TO_GET, ("*", "*/dataset"))
    labels = _labels(Table(find_table(folder, _LABELS, instructions=_HOW_TO_GET)))
    images = ImageFolder(folder, options.bad_images)
    rows, notes = _rows(table, images, images.by_file_name(f"--manual_dir={folder}"), labels)
    return group_rows(rows, options, named_in=table.path, notes=notes)


def _labels(table):
    """{case_id: (label, "" if none, attributes)}."""
    case, weights = table.column("case_id"), table.column("weighted_skin_condition_label")
    places = table.columns_there({name: name for name in _LABEL_ATTRIBUTES})
    labels = {}
    for where, fields in table:
        if fields[case] in labels:
            raise BadData(f"{where}: case {fields[case]} is there twice")
        differential = _differential(where, fields[weights])
        attributes = stated(fields, places, _SAYS_NOTHING)
        if differential:
            attributes["differential"] = json.dumps(differential, ensure_ascii=False)
        label = max(differential, key=differential.get, default="")
        labels[fields[case]] = sys.intern(label), attributes
    return labels


def _differential(where, text):
    """{condition: weight} of a Python dict in a text; {} if it is blank."""
    try:
        weights = ast.literal_eval(text or "{}")
        # tfds keeps one class name per line.
        weights = {" ".join(name.split()): float(weight) for name, weight in weights.items()}
        if "" not in weights and all(0 <= w < math.inf for w in weights.values()):
            return weights
    except (AttributeError, MemoryError, RecursionError, SyntaxError, TypeError, ValueError):
        pass
    raise BadData(
        f"{where}: column weighted_skin_condition_label holds {text[:60]}, expected conditions "
        "with weights, as {'Eczema': 0.67, 'Insect Bite': 0.33}"
    )


def _rows(table, images, paths, labels):
    """([ImageRow], notes)."""
    case = table.column("case_id")
    photos = [
        (table.column(f"image_{k}_path"), table.optional(f"image_{k}_shot_type")) for k in (1, 2, 3)
    ]
    places = table.columns_there({name: name for name in _CASE_ATTRIBUTES})
    yes_columns = {
        group: [
            (name.removeprefix(f"{group}_"), place)
            for place, name in enumerate(table.header)
            if name.startswith(f"{group}_")
        ]
        for group in _YES_COLUMNS
    }
    rows, seen, case_of, count = [], set(), {}, collections.Counter()
    for where, fields in table:
        (case_id,) = table.needed(where, fields, case)
        if case_id in seen:
            raise BadData(f"{where}: case {case_id} is there twice")
        seen.add(case_id)
        label, attributes = labels.get(case_id, ("", {}))
        attributes = stated(fields, places, _SAYS_NOTHING) | attributes
        for group, columns in yes_columns.items():
            if said := [name for name, place in columns if fields[place].upper() == "YES"]:
                attributes[group] = sys.intern(", ".join(said))
        rows_before = len(rows)
        for path, view in photos:
            if not fields[path]:
                continue
            name = os.path.basename(fields[path])
            file = images.find(paths.get(name, f"images/{name}"), where)
            if not file:
                continue
            if file.key in case_of:  # the owners know of these, and keep them
                count["again", case_of[file.key] == case_id] += 1
                continue
            case_of[file.key] = case_id
            rows.append(
                ImageRow(
                    where=where,
                    file=file,
                    image=name,
                    case_id=case_id,
                    label=label,
                    view=sys.intern(view(fields)),
                    attributes=attributes,
                )
            )
        count["no image"] += len(rows) == rows_before
    notes = counted({
        "images left out, being in another case already": count["again", False],
        "images left out, being in their case already": count["again", True],
        "cases left out, having no image": count["no image"],
        f"unlabelled cases, without a row in {_LABELS}": len(seen - labels.keys()),
        f"rows of {_LABELS} left out, having none in {_CASES}": len(labels.keys() - seen),
    })  # fmt: skip
    return rows, notes
