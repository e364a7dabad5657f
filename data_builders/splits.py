"""Who goes into which split: by patient, and by the hash of the patient alone."""

import collections
import hashlib
from collections.abc import Iterable, Mapping

SPLITS = ("train", "validation", "test")
# Shares of the patients that a split takes where none was given: see `choose_split`.
TEST_SHARE, VALIDATION_SHARE = 0.2, 0.1


# How a name begins that stands for a patient who is not known: that of a case, or of a study.
STAND_INS = ("case ", "study ")


def patient_key(patient_id: str, case_id: str) -> str:
    """Who must stay on one side of a split: the patient, or the case where no patient is known."""
    return f"patient {patient_id}" if patient_id else f"{STAND_INS[0]}{case_id}"


def study_key(study_id: str) -> str:
    """Who must stay on one side of a split where a study is known, and no patient."""
    return f"{STAND_INS[1]}{study_id}"


def _share(key: str) -> float:
    """A number in [0, 1) that is a function of the key alone."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64


def choose_split(key: str, shares: tuple[float, float] = (VALIDATION_SHARE, TEST_SHARE)) -> str:
    """train, validation or test, by the hash of the key alone.

    `shares` are those of validation and test.

    So a patient keeps his split when others join the data later: a model trained
    on the older data has not seen the newer test patients.
    """
    share, (validation, test) = _share(key), shares
    if share < test:
        return "test"
    return "validation" if share < test + validation else "train"


def key_of_spellings(
    keys: Iterable[str], shares: tuple[float, float] = (VALIDATION_SHARE, TEST_SHARE)
) -> str:
    """The one of several keys of one patient whose hash decides.

    One that is in train if there is any, since what a model may have learned from must not be
    judged; else the first in sorted order. So it is a function of the set of keys alone.
    """
    in_train = [key for key in keys if choose_split(key, shares) == "train"]
    return min(in_train or keys)


def complete_splits(
    stated: Mapping[str, str], shares: tuple[float, float] = (VALIDATION_SHARE, TEST_SHARE)
) -> tuple[dict[str, str], str]:
    """Gives every patient a split, keeping the splits that were stated.

    Patients without a split are put where `choose_split` says, and a split that was
    not stated at all takes its share out of train in the same way. Only where that
    leaves a split empty, as with a handful of patients, the nearest one by hash is
    moved, and so three patients are enough for three splits.

    Args:
      stated: {patient key: split, "" if not stated}.
      shares: of the patients, for validation and for test.

    Returns:
      ({patient key: split}, note). The result does not depend on the order of `stated`.
      The note says in one line what was made; "" if nothing was.
    """
    chosen = {key: split or choose_split(key, shares) for key, split in stated.items()}
    missing = set(SPLITS).difference(stated.values())
    movable = sorted((key for key, split in stated.items() if split in ("", "train")), key=_share)
    for key in movable:
        if chosen[key] == "train" and choose_split(key, shares) in missing:
            chosen[key] = choose_split(key, shares)
    for split in SPLITS:  # train comes first: it may take the only patient of another one
        sizes = collections.Counter(chosen.values())
        spare = [key for key in movable if split == "train" or sizes[chosen[key]] > 1]
        if spare and not sizes[split]:
            chosen[spare[-1] if split == "train" else spare[0]] = split

    free = sum(not split for split in stated.values())
    moved = {chosen[key] for key, split in stated.items() if split == "train"} - {"train"}
    made = [split for split in SPLITS if split in moved]
    unit = "patient"
    if all(key.startswith(STAND_INS) for key in stated):
        unit = "study" if any(key.startswith(STAND_INS[1]) for key in stated) else "case"
    if free == len(stated):
        present = [split for split in SPLITS if split in chosen.values()]
        return chosen, f"no split was given: made by {unit}: {', '.join(present)}"
    notes = []
    if free:
        several = "studies" if unit == "study" else f"{unit}s"
        units = f"{unit} was" if free == 1 else f"{several} were"
        notes.append(f"{free:,} {units} given a split, having none")
    if made:
        notes.append(f"there was no {' and no '.join(made)} split: taken out of train by {unit}")
    return chosen, "; ".join(notes)
