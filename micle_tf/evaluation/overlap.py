"""Is a model judged on what it has seen? Pictures and patients of the judged split, looked up.

What counts, of images whose labels are judged:
- a picture that was seen: always, but for pictures that are in two splits of the same prepared
  data, which are counted and listed when the data is opened;
- a patient who was seen: in the same dataset, or in data with which a picture is shared. Else equal
  ids are a coincidence until shown otherwise, and a warning: every hospital has a patient 1.
"""

import dataclasses
import re

import numpy as np

from micle_tf import console
from micle_tf.data import seen as seen_file
from micle_tf.data.seen import CHOSEN_ON, LEARNED, UNLABELLED, Seen
from micle_tf.errors import BadInput


@dataclasses.dataclass(frozen=True)
class Overlap:
    """Which of the judged images were seen.

    Attributes:
      split: name of the judged split.
      patients: [n] uint64, who the judged images are of.
      masks: {`LEARNED`, `CHOSEN_ON`, `UNLABELLED`: [n] bool}, in runs before, or in other data.
      of_typed_split: the same, of the run's own data, of which the split was typed.
      by_picture: [n] bool, those of the learned ones whose picture was learned, not the patient
        alone.
      same_ids: [n] bool, images of patients with ids that were seen in data that shares nothing.
      unchecked: why it cannot be told whether more was seen; "" if it can.
    """

    split: str
    patients: np.ndarray
    masks: dict
    of_typed_split: dict
    by_picture: np.ndarray
    same_ids: np.ndarray
    unchecked: str = ""

    def count(self, mask):
        """{"images", "patients"} of a mask."""
        return {"images": int(mask.sum()), "patients": len(np.unique(self.patients[mask]))}

    def to_json(self):
        """As in result.json."""
        counts = {how: self.count(self.masks[how] | self.of_typed_split[how]) for how in self.masks}
        counts |= {"same_ids": self.count(self.same_ids)}
        unchecked = {"cannot_be_checked": self.unchecked} if self.unchecked else {}
        return {"judged": self.count(np.ones(len(self.patients), bool))} | counts | unchecked


def overlap_of(seen, data, eval_split, images):
    """Looks up the images that are judged.

    Args:
      seen: `Seen` of the model.
      data: `CaseData` on which it is judged.
      eval_split: as of --eval_split.
      images: [n] numbers of the judged images among those of the split.

    Returns:
      `Overlap`.
    """
    index = data.open(eval_split, "--eval_split").index
    pictures = seen_file.chosen(seen_file.picture_hashes(index, seen.salt), images)
    read_as = {data.ids, *(one.ids for one in seen.sets)}
    patients_of = {ids: seen_file.patient_hashes(index, seen.salt, ids)[images] for ids in read_as}
    patients = patients_of[data.ids]
    hashed = len(pictures) == len(patients)
    everywhere = np.concatenate(
        [seen_file.picture_hashes(part, seen.salt) for part in data.index.values()]
    )
    none = np.zeros(len(patients), bool)
    masks, of_typed_split = (
        {how: none.copy() for how in (LEARNED, CHOSEN_ON, UNLABELLED)} for _ in range(2)
    )
    by_picture, same_ids, unchecked = none.copy(), none.copy(), seen.unknown
    if seen.sets and not hashed:
        unchecked = unchecked or f"no hashes of pictures of {data.name} are kept"
    shares = {
        name: any(np.isin(one.pictures, everywhere).any() for one in seen.sets if one.data == name)
        for name in {one.data for one in seen.sets} - {data.name}
    }
    for one in seen.sets:
        of_patient = np.isin(patients_of[one.ids], one.patients)
        if one.data == data.name:  # whose patients are in one split each
            (of_typed_split if one.by_itself else masks)[one.how] |= of_patient
            continue
        if not len(one.pictures):
            unchecked = unchecked or f"no hashes of pictures of {one.data} are kept"
        of_picture = np.isin(pictures, one.pictures) if hashed else none
        if one.how == LEARNED:
            by_picture |= of_picture
        if shares[one.data] or _dataset(one.data) == _dataset(data.name):
            masks[one.how] |= of_picture | of_patient
        else:
            masks[one.how] |= of_picture
            same_ids |= of_patient & ~of_picture
    for how in masks:  # what the run itself has seen is said once
        masks[how] &= ~of_typed_split[how]
    return Overlap(eval_split, patients, masks, of_typed_split, by_picture, same_ids, unchecked)


def _dataset(name):
    """A dataset without the hash of its files; manifests are each a dataset of their own."""
    return name if "/manifest-" in name else re.sub("-[0-9a-f]{12}$", "", name)


def check(overlap, run, allowed):
    """Says what was seen of the judged images.

    Args:
      overlap: `Overlap`.
      run: the model's run directory, for messages.
      allowed: go on even if labels of judged images were learned.

    Raises:
      BadInput: labels were learned of images on which the model is to be judged, in a run before
        or from other data.
    """
    total, split = len(overlap.patients), overlap.split

    def shown(mask):
        count = overlap.count(mask)
        images, patients = count["images"], count["patients"]
        return (
            f"{images:,} of {console.count(total, 'image')} ({console.count(patients, 'patient')})"
        )

    learned = overlap.masks[LEARNED]
    alone = int((learned & ~overlap.by_picture).sum())
    how = f"; {alone:,} of them by patient alone, as --ids reads them" if alone else ""
    # A split of the run's own data that was typed is a warning, also where a run before learned it.
    typed = overlap.of_typed_split[LEARNED] | overlap.of_typed_split[CHOSEN_ON]
    if (learned & ~typed).any() and not allowed:
        raise BadInput(
            f"--eval_split={split}: {shown(learned)} were learned from, labels and all, by {run} "
            f"or a run before it, and what is measured on them says nothing{how}; judge on "
            "others, or go on with --allow_seen"
        )
    if learned.any():
        console.say(f"warning: {shown(learned)} of {split} were learned from, labels and all{how}")
    if overlap.masks[CHOSEN_ON].any():
        console.say(f"warning: {shown(overlap.masks[CHOSEN_ON])} of {split} chose a model before")
    if overlap.same_ids.any():
        console.say(
            f"warning: {shown(overlap.same_ids)} of {split} are of patients or cases with ids that "
            "were seen in other data; no picture is shared, so they are taken for others"
        )
    if overlap.masks[UNLABELLED].any():
        mask = overlap.masks[UNLABELLED]
        console.say(f"note: {shown(mask)} of {split} were seen in pretraining, without labels")
    if overlap.unchecked:
        console.say(f"note: what was seen of {split} before cannot be checked: {overlap.unchecked}")


def seen_before(data, splits, inputs, *, checkpoint, allow_seen):
    """What a run that is about to learn from labels will have seen, and whether it may be judged.

    Args:
      data: `CaseData`.
      splits: of `labelled_splits`.
      inputs: `Inputs`; reads `train_split` and `eval_split`.
      checkpoint: the run that it starts from; "" for none.
      allow_seen: judge on what was learned from, too.

    Returns:
      (`Seen` to keep in the run, `Overlap` of the judged split with what was seen before it).

    Raises:
      BadInput: as `check`.
    """
    before = Seen.before(checkpoint)
    train, selection = splits["train"], splits["selection"]
    seen = before.add(LEARNED, data, inputs.train_split, train.images)
    seen = seen.add(CHOSEN_ON, data, selection.name, selection.images)
    overlap = overlap_of(seen, data, inputs.eval_split, splits["evaluation"].images)
    check(overlap, checkpoint, allow_seen)
    if not data.judged:  # else the name is that of another split to those who judge
        chooses = overlap_of(before, data, selection.name, selection.images).masks[LEARNED]
        if chooses.any():
            console.say(
                f"warning: {chooses.sum():,} of {console.count(len(chooses), 'image')} of "
                f"{selection.name}, which chooses the model, were learned from before"
            )
    return seen, overlap
