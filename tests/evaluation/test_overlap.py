"""What was seen of a judged split, found by picture and by patient, and not by coincidence."""

import dataclasses

import numpy as np
import pytest

from micle_tf.data.seen import CHOSEN_ON, LEARNED, UNLABELLED, Seen
from micle_tf.errors import BadInput
from micle_tf.evaluation.overlap import check, overlap_of
from tests.data.test_seen import data_of

CASES = 200


def cases(start=0, picture=0, patient="p{}", case="c{}", number=CASES):
    """Cases of two images each, a patient per case."""
    return [
        (case.format(k), patient.format(k), [picture + 2 * k, picture + 2 * k + 1])
        for k in range(start, start + number)
    ]


def learned(data, how=LEARNED, splits="train"):
    return Seen.before("").add(how, data, splits)


def look(seen, data, split="test", images=None):
    if images is None:
        images = np.arange(data.open(split).index.num_images)
    return overlap_of(seen, data, split, images)


TRAINED_ON = data_of(
    "derm_cases/manifest-000000000000",
    train=cases(), validation=cases(CASES, number=20), test=cases(300, number=50),
)  # fmt: skip


@pytest.mark.parametrize(
    "name, judged",
    [
        # A row added: the name of the data is another one, and the patients were dealt anew.
        ("derm_cases/manifest-111111111111", [*cases(), ("new", "new", [10_000])]),
        # Another CSV with other ids of cases.
        ("derm_cases/manifest-111111111111", cases(case="other{}")),
        # Patients of other names, the same pictures.
        ("derm_cases/manifest-111111111111", cases(patient="q{}", case="d{}")),
        # Patients who are not known any more.
        ("derm_cases/manifest-111111111111", cases(patient="", case="d{}")),
        # Another set that holds the same pictures.
        ("derm_cases/isic2019-222222222222", cases(patient="", case="ISIC_{}")),
    ],
)
def test_planted_cases_are_all_found(name, judged):
    found = look(learned(TRAINED_ON), data_of(name, test=judged))
    planted = np.array([picture < 10_000 for *_, pictures in judged for picture in pictures])
    assert found.masks[LEARNED].tolist() == planted.tolist()
    assert found.to_json()["learned"] == {"images": 2 * CASES, "patients": CASES}
    assert not found.same_ids.any() and not found.unchecked
    with pytest.raises(
        BadInput, match=r"^--eval_split=test: 400 of 40\d images \(200 patients\) were "
    ):
        check(found, "runs/a", allowed=False)


def test_new_photos_of_patients_who_were_seen():
    """Where one picture shows that the two sets are of one place, the patients are the same."""
    later = cases(picture=50_000)
    with_one = data_of("derm_cases/manifest-111111111111", train=cases(number=1), test=later)
    found = look(learned(TRAINED_ON), with_one)
    assert found.count(found.masks[LEARNED]) == {"images": 2 * CASES, "patients": CASES}
    # The same set of another hash has the same patients too, but not a manifest.
    for name, seen in (("derm_cases/ham10000-{}", True), ("derm_cases/manifest-{}", False)):
        before = data_of(name.format("000000000000"), train=cases())
        found = look(learned(before), data_of(name.format("111111111111"), test=later))
        assert found.masks[LEARNED].all() == seen and found.same_ids.all() == (not seen)


def test_small_ids_that_collide_are_a_warning(capsys):
    hospital = data_of("derm_cases/manifest-111111111111", test=cases(picture=50_000, number=120))
    found = look(learned(TRAINED_ON), hospital)
    assert not any(mask.any() for mask in (*found.masks.values(), *found.of_typed_split.values()))
    assert found.to_json()["same_ids"] == {"images": 240, "patients": 120}
    check(found, "runs/a", allowed=False)
    assert capsys.readouterr().out == (
        "warning: 240 of 240 images (120 patients) of test are of patients or cases with ids that "
        "were seen in other data; no picture is shared, so they are taken for others\n"
    )


def test_disjoint_data():
    hospital = data_of("derm_cases/manifest-111111111111", test=cases(400, 50_000))
    found = look(learned(TRAINED_ON), hospital)
    assert found.to_json() == {
        "judged": {"images": 400, "patients": 200},
        **{
            name: {"images": 0, "patients": 0}
            for name in ("learned", "chosen_on", "unlabelled", "same_ids")
        },
    }


def test_equal_pictures_in_two_splits_of_one_prepared_data():
    """As MILK10k has them: listed when the data is opened, and no reason to stop."""
    twins = data_of("derm_cases/manifest-000000000000", train=cases(), test=cases(500, -1_000 + 2))
    assert np.isin(twins.index["test"].pixel_hash, twins.index["train"].pixel_hash).any()
    found = look(learned(twins), twins)
    assert not any(mask.any() for mask in (*found.masks.values(), *found.of_typed_split.values()))
    # In other data with the same pictures they were learned.
    other = data_of("derm_cases/manifest-111111111111", test=cases(500, -1_000 + 2))
    assert look(learned(twins), other).masks[LEARNED].sum() == 398


def test_ids_that_are_read_literally():
    """Under --ids=literal 7 and 007 are two people, in the same data and in another table of it."""
    literal = lambda data: dataclasses.replace(data, ids="literal")
    train = [("c1", "7", [1])]
    data = literal(data_of("a/manifest-000000000000", train=train, test=[("c2", "007", [2])]))
    assert look(learned(data), data).to_json()["learned"] == {"images": 0, "patients": 0}
    more = [("c2", "007", [2]), ("c3", "9", [3])]
    after = literal(data_of("a/manifest-111111111111", train=train, test=more))
    assert not look(learned(data), after).masks[LEARNED].any()
    alike = data_of("a/manifest-111111111111", train=train, test=more)
    found = look(learned(dataclasses.replace(data, ids="alike")), alike)
    assert found.masks[LEARNED].tolist() == [True, False] and not found.by_picture.any()
    with pytest.raises(
        BadInput, match="; 1 of them by patient alone, as --ids reads them; judge on"
    ):
        check(found, "runs/a", allowed=False)


def test_splits_of_the_run_s_own_data(capsys):
    """They were typed: `evaluate` says so, and goes on; of a run before, it does not."""
    seen = learned(TRAINED_ON).add(CHOSEN_ON, TRAINED_ON, "validation")
    found = look(seen, TRAINED_ON, "train+validation")
    assert found.count(found.of_typed_split[LEARNED])["images"] == 400
    assert found.count(found.of_typed_split[CHOSEN_ON])["images"] == 40
    assert found.to_json()["learned"] == {"images": 400, "patients": 200}
    check(found, "runs/a", allowed=False)
    assert capsys.readouterr().out == ""
    sets = tuple(dataclasses.replace(one, by_itself=False) for one in seen.sets)
    later = dataclasses.replace(seen, sets=sets)
    with pytest.raises(BadInput) as caught:
        check(look(later, TRAINED_ON, "train"), "runs/b", allowed=False)
    assert str(caught.value) == (
        "--eval_split=train: 400 of 400 images (200 patients) were learned from, labels and all, "
        "by runs/b "
        "or a run before it, and what is measured on them says nothing; 400 of them by patient "
        "alone, as --ids reads them; judge on others, or go on with --allow_seen"
    )
    # Learned by the run itself: what was learned before adds nothing.
    check(look(later.add(LEARNED, TRAINED_ON, "train"), TRAINED_ON, "train"), "runs/b", False)


def test_what_is_said(capsys):
    judged = data_of("derm_cases/manifest-111111111111", test=cases())
    seen = learned(data_of("a/b-0", train=cases(number=3)))
    seen = seen.add(CHOSEN_ON, data_of("a/b-0", validation=cases(3, number=2)), "validation")
    seen = seen.add(UNLABELLED, data_of("a/c-0", train=cases(number=100)), "train")
    found = look(seen, judged)
    check(found, "runs/a", allowed=True)
    assert capsys.readouterr().out.splitlines() == [
        "warning: 6 of 400 images (3 patients) of test were learned from, labels and all",
        "warning: 4 of 400 images (2 patients) of test chose a model before",
        "note: 200 of 400 images (100 patients) of test were seen in pretraining, without labels",
    ]


def test_only_images_that_are_judged_count():
    judged = data_of("derm_cases/manifest-111111111111", test=cases())
    found = look(learned(TRAINED_ON), judged, images=np.array([1, 5, 399]))
    assert found.to_json()["judged"] == found.to_json()["learned"] == {"images": 3, "patients": 3}
    nothing = look(learned(TRAINED_ON), judged, images=np.array([], np.int64))
    check(nothing, "runs/a", allowed=False)
    assert nothing.to_json()["judged"] == {"images": 0, "patients": 0}


def test_what_cannot_be_checked(capsys):
    unknown = [("train-1", "", [None])]
    cifar = data_of("cifar10", train=unknown, test=[("test-1", "", [None])])
    assert look(Seen.before(""), cifar).unchecked == ""  # nothing was seen
    for seen, data in (
        (learned(cifar), data_of("derm_cases/manifest-1", test=cases())),
        (learned(TRAINED_ON), cifar),
        (learned(cifar), cifar),
    ):
        found = look(seen, data)
        assert found.to_json()["cannot_be_checked"] == "no hashes of pictures of cifar10 are kept"
        check(found, "runs/a", allowed=False)
        assert capsys.readouterr().out == (
            "note: what was seen of test before cannot be checked: no hashes of pictures of "
            "cifar10 are kept\n"
        )
    # Its own records are known by their numbers all the same.
    assert look(learned(cifar), cifar, "train").of_typed_split[LEARNED].all()
