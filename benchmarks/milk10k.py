"""MILK10k's tables, as its owners ship them, as one manifest: a row per photo of a lesion.

    python benchmarks/milk10k.py FOLDER OUT.csv

The folder holds MILK10k_Training_Metadata.csv, MILK10k_Training_GroundTruth.csv and the photos in
MILK10k_Training_Input/<lesion>/<image>.jpg. Then

    python run.py --mode=study --study=milk10k --manifest=OUT.csv --image_dir=FOLDER
"""

import argparse
import csv
import os
import sys

COLUMNS = ("image", "case_id", "label", "view", "sex", "age", "skin_tone")


def main(argv):
    """Writes the manifest whole or not at all; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", help="MILK10k as its owners ship it")
    parser.add_argument("out", help="the manifest to write")
    arguments = parser.parse_args(argv)
    unfinished = f"{arguments.out}.unfinished"
    try:
        rows = list(rows_of(arguments.folder))
        with open(unfinished, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows(rows)
        os.replace(unfinished, arguments.out)
    except (OSError, KeyError, ValueError) as error:
        print(f"error: {arguments.folder}: {error}", file=sys.stderr)
        return 2
    print(f"{arguments.out}: {len(rows):,} photos of {len({row[1] for row in rows}):,} lesions")
    return 0


def rows_of(folder):
    """A row per photo of the folder, in the order of the metadata."""
    table = lambda name: os.path.join(folder, f"MILK10k_Training_{name}.csv")
    with open(table("GroundTruth"), newline="", encoding="utf-8") as file:
        diagnosis = {row["lesion_id"]: _diagnosis(row) for row in csv.DictReader(file)}
    with open(table("Metadata"), newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            lesion = row["lesion_id"]
            image = f"MILK10k_Training_Input/{lesion}/{row['isic_id']}.jpg"
            stated = [row[name] for name in ("image_type", "sex", "age_approx", "skin_tone_class")]
            yield [image, lesion, diagnosis[lesion], *stated]


def _diagnosis(row):
    """The one column of a lesion that holds 1."""
    found = [name for name, value in row.items() if name != "lesion_id" and float(value) == 1]
    if len(found) != 1:
        raise ValueError(f"lesion {row['lesion_id']} has {len(found)} diagnoses, expected one")
    return found[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
