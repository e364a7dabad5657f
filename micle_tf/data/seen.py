"""What a run and those before it have seen: seen.npz in the run directory, as salted hashes.

A model that is judged on what it learned from looks better than it is, and file names do not tell:
a row is added to the table, patients get other numbers, one public set is inside another. So every
run that trains keeps hashes of the pictures that it used, and of their patients, in three sets:
learned from with labels, chosen on, and seen without labels; those of the run that it starts from
are taken over. The salt is random, belongs to the file and goes with it down a chain of runs, so
that any machine can hash what is to be judged and compare.

The file is as confidential as the data: who has it and guesses a short id can tell whether it is
in there. It is never exported.
"""

import dataclasses
import hashlib
import io
import json
import os
import secrets
import zipfile

import numpy as np
import tensorflow as tf

from data_builders.ids import LITERAL, alike
from data_builders.splits import STAND_INS, patient_key
from micle_tf.files import renamed_when_whole
from micle_tf.pretrained import is_weights
from micle_tf.run_config import is_run

FILE = "seen.npz"
LEARNED, CHOSEN_ON, UNLABELLED = "learned", "chosen_on", "unlabelled"
_SALT_BYTES = 16
_DAMAGE = (
    EOFError, KeyError, OSError, TypeError, ValueError, zipfile.BadZipFile, tf.errors.OpError,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class SeenSet:
    """What was seen of one dataset, in one way.

    Attributes:
      how: `LEARNED`, `CHOSEN_ON` or `UNLABELLED`.
      data: name of the prepared data, as in `CaseData`.
      by_itself: whether the run itself saw it, and not one before.
      ids: as of --ids: how the ids of the data were read.
      pictures: [n] uint64, sorted: `picture_hashes`; [0] where the data knows of none.
      patients: [m] uint64, sorted: `patient_hashes`.
    """

    how: str
    data: str
    by_itself: bool
    ids: str
    pictures: np.ndarray
    patients: np.ndarray


@dataclasses.dataclass(frozen=True)
class Seen:
    """All that a run has seen, and those before it.

    Attributes:
      salt: 16 bytes.
      sets: tuple of `SeenSet`.
      unknown: why what a run before has seen is not known; "" if it is.
    """

    salt: bytes
    sets: tuple = ()
    unknown: str = ""

    @classmethod
    def before(cls, checkpoint):
        """What a run that starts from another one, or from none (""), has seen before it begins."""
        if not checkpoint:
            return cls(secrets.token_bytes(_SALT_BYTES))
        seen = cls.read(checkpoint)
        return dataclasses.replace(
            seen, sets=tuple(dataclasses.replace(one, by_itself=False) for one in seen.sets)
        )

    @classmethod
    def read(cls, run):
        """What a run has seen; `unknown` says why if that cannot be told."""
        nothing = secrets.token_bytes(_SALT_BYTES)
        path = os.path.join(run, FILE)
        if not tf.io.gfile.exists(path):
            why = f"has no {FILE}, as runs of earlier versions"
            if not is_run(run):
                why = "are weights of others" if is_weights(run) else "is not there any more"
            return cls(nothing, unknown=f"{run} {why}")
        try:
            with tf.io.gfile.GFile(path, "rb") as file, np.load(io.BytesIO(file.read())) as arrays:
                stated = json.loads(str(arrays["stated"]))
                sets = tuple(
                    SeenSet(
                        by_itself=one.pop("own"),
                        pictures=arrays[f"pictures-{k}"],
                        patients=arrays[f"patients-{k}"],
                        **one,
                    )
                    for k, one in enumerate(stated["sets"])
                )
                ways = {one.how for one in sets} - {LEARNED, CHOSEN_ON, UNLABELLED}
                if ways or len(arrays["salt"]) != _SALT_BYTES:
                    raise ValueError("another file")
                return cls(arrays["salt"].tobytes(), sets, stated["unknown"])
        except _DAMAGE:
            return cls(nothing, unknown=f"{path} is damaged")

    def add(self, how, data, splits, images=None):
        """A copy that knows of some more images.

        Args:
          how: `LEARNED`, `CHOSEN_ON` or `UNLABELLED`.
          data: `CaseData`.
          splits: as of --train_split: one, or several joined by "+".
          images: [n] numbers of images among those of the splits; None for all.
        """
        sets = list(self.sets)
        for part in data.parts or (data,):
            names = [name for name in splits.split("+") if name in part.index]
            if names:
                index = part.open("+".join(names)).index
                sets.append(
                    SeenSet(
                        how, part.name, True, part.ids,
                        np.unique(chosen(picture_hashes(index, self.salt), images)),
                        np.unique(chosen(patient_hashes(index, self.salt, part.ids), images)),
                    )
                )  # fmt: skip
        return dataclasses.replace(self, sets=tuple(_united(sets)))

    def write(self, path):
        """Writes seen.npz to a path of `tf.io.gfile`, whole or not at all."""
        stated = {
            "unknown": self.unknown,
            "sets": [
                {"how": one.how, "data": one.data, "own": one.by_itself, "ids": one.ids}
                for one in self.sets
            ],
        }
        arrays = {
            "salt": np.frombuffer(self.salt, np.uint8),
            "stated": np.array(json.dumps(stated)),
        }
        for k, one in enumerate(self.sets):
            arrays |= {f"pictures-{k}": one.pictures, f"patients-{k}": one.patients}
        content = io.BytesIO()
        np.savez(content, **arrays)  # hashes cannot be compressed
        with (
            renamed_when_whole(path) as unfinished,
            tf.io.gfile.GFile(unfinished, "wb") as file,
        ):
            file.write(content.getvalue())


def keep(run, seen):
    """Puts seen.npz into a `RunDirectory`, unless a stopped run has done so."""
    path = run.file(FILE)
    if not tf.io.gfile.exists(path):
        seen.write(path)


def _united(sets):
    """One set per way, data and owner."""
    united = {}
    for one in sets:
        key = one.how, one.data, one.by_itself, one.ids
        other = united.get(key)
        united[key] = one if other is None else dataclasses.replace(
            one,
            pictures=np.union1d(one.pictures, other.pictures),
            patients=np.union1d(one.patients, other.patients),
        )  # fmt: skip
    return united.values()


def chosen(values, images):
    """The entries of some images; of what is not known, nothing."""
    return values if images is None or not len(values) else values[images]


# ---------------------------------------------------------------- hashes


def picture_hashes(index, salt):
    """[I] uint64 of the images of a `CaseIndex`, equal for equal pixels; [0] if not known.

    A pixel hash cannot be guessed without the picture; two keyed rounds of the finaliser of
    SplitMix64 (Steele et al., 2014) hide which it was from those without the salt.
    """
    if len(index.pixel_hash) < index.num_images:
        return np.zeros(0, np.uint64)
    values = index.pixel_hash.astype(np.int64).view(np.uint64)
    for word in np.frombuffer(salt, np.uint64):
        values = _mixed(values ^ word)
    return values


def _mixed(values):
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def patient_hashes(index, salt, ids="alike"):
    """[I] uint64 of the images of a `CaseIndex`, equal for images of one patient.

    Where no patient is known, the case stands for him. Spellings of one id are one, unless
    `ids` is "literal": see `data_builders.ids`.
    """
    same = str if ids == LITERAL else alike
    hashed, per_case = {}, []
    for names in zip(index.patient_id.tolist(), index.case_id.tolist(), strict=True):
        name = names if not names[0] else names[0]
        if name not in hashed:
            key = _key(*names, same).encode()
            hashed[name] = hashlib.blake2b(key, digest_size=8, key=salt).digest()
        per_case.append(hashed[name])
    per_case = np.frombuffer(b"".join(per_case), np.uint64)
    return np.repeat(per_case, index.images_per_case)


def _key(patient, case, same):
    for prefix in STAND_INS:
        if patient.startswith(prefix):
            return prefix + same(patient.removeprefix(prefix))
    return patient_key(same(patient) if patient else "", "" if patient else same(case))
