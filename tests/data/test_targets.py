"""Which labels a classifier learns: of which classes, and of which cases."""

import dataclasses
import itertools
import types

import numpy as np
import pytest

from micle_tf.config import Config, LabelPolicy, Labels
from micle_tf.data.cases import CaseData
from micle_tf.data.reader import CaseIndex
from micle_tf.data.targets import Targets, choose_labelled, column_of, is_labelled
from micle_tf.errors import BadInput

CLASSES = ("a", "b", "c", "d")


def make_index(images_per_case, labels=None, findings=None):
    """The index of cases c0, c1, ..., each of a patient of its own."""
    images_per_case = np.asarray(images_per_case)
    num_cases, num_images = len(images_per_case), images_per_case.sum()
    return CaseIndex(
        case_id=np.array([f"c{n}" for n in range(num_cases)]),
        patient_id=np.array([f"p{n}" for n in range(num_cases)]),
        first_image=np.concatenate([[0], np.cumsum(images_per_case)]),
        image_id=np.array([f"i{n}" for n in range(num_images)]),
        class_label=np.zeros(0, np.int64) if labels is None else np.asarray(labels),
        findings=np.zeros((0, 0), np.int8) if findings is None else np.asarray(findings, np.int8),
    )


def make_data(index, class_names=(), finding_names=(), default_findings=(), synonyms=None):
    """A `CaseData` of one split, train, without files."""
    return CaseData(
        name="set",
        class_names=class_names,
        finding_names=finding_names,
        labels_shared_by_case=True,
        notes=(),
        index={"train": index},
        readers={"train": types.SimpleNamespace(index=index)},
        default_findings=default_findings,
        synonyms=synonyms or {},
    )


@pytest.fixture(scope="module")
def classes():
    """200 cases of 1 to 3 images, their index and labels; class d is rare, c8, c17, ... blank."""
    per_case = 1 + np.arange(200) % 3
    rng = np.random.default_rng(0)
    of_case = rng.choice(4, 200, p=(0.5, 0.3, 0.18, 0.02))
    of_case[8::9] = -1
    labels = np.repeat(of_case, per_case)
    labels[np.cumsum(per_case)[2::7] - 1] = -1  # images that are blank beside one that is not
    return make_index(per_case, labels), labels


@pytest.fixture(scope="module")
def findings():
    """300 cases with four findings of unlike frequency, some entries unknown."""
    per_case = 1 + np.arange(300) % 2
    rng = np.random.default_rng(1)
    of_case = (rng.random((300, 4)) < (0.6, 0.3, 0.1, 0.03)).astype(np.int8)
    of_case[rng.random((300, 4)) < 0.2] = -1
    of_case[rng.random((300, 4)) < 0.2] = -2
    of_case[::10] = -2
    labels = np.repeat(of_case, per_case, axis=0)
    return make_index(per_case, findings=labels), labels


def cases_of(index, images):
    return set(index.case_id[index.case_of_image[images]].tolist())


# ---------------------------------------------------------------- label fractions


@pytest.mark.parametrize("kind", ["classes", "findings"])
def test_fractions_are_nested_and_of_whole_cases(kind, request):
    index, labels = request.getfixturevalue(kind)
    labelled = np.flatnonzero(is_labelled(labels))
    chosen = [choose_labelled(labels, index, fraction, 3) for fraction in (0.1, 0.3, 0.7, 1.0)]
    np.testing.assert_array_equal(chosen[-1], labelled)
    for smaller, larger in itertools.pairwise(chosen):
        assert set(smaller) < set(larger)
    for images in chosen:
        assert (np.diff(images) > 0).all() and images.dtype == np.int64
        # A case is there with all of its labelled images, or not at all.
        inside = np.isin(index.case_of_image[labelled], np.unique(index.case_of_image[images]))
        np.testing.assert_array_equal(labelled[inside], images)


@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.3, 0.5, 0.99])
def test_every_class_keeps_its_share_and_one_case_at_least(classes, fraction):
    index, labels = classes
    chosen = cases_of(index, choose_labelled(labels, index, fraction, 0))
    for k in range(4):
        members = cases_of(index, np.flatnonzero(labels == k))
        assert len(members) > 1
        assert len(members & chosen) == max(1, round(fraction * len(members)))
        assert abs(len(members & chosen) - fraction * len(members)) <= 1


@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.5])
def test_findings_are_shared_out_by_the_rarest_one(findings, fraction):
    index, labels = findings
    strata = {}
    present = np.array([(labels[index.case_of_image == c] == 1).any(0) for c in range(300)])
    rarity = present.sum(0)
    assert list(rarity) == sorted(rarity)[::-1] and rarity[-1] > 1
    for case in cases_of(index, np.flatnonzero(is_labelled(labels))):
        row = present[int(case[1:])]
        strata.setdefault(int(np.flatnonzero(row)[-1]) if row.any() else -1, set()).add(case)
    assert len(strata) == 5
    chosen = cases_of(index, choose_labelled(labels, index, fraction, 0))
    for members in strata.values():
        assert len(members & chosen) == max(1, round(fraction * len(members)))


@pytest.mark.parametrize("kind", ["classes", "findings"])
def test_another_seed_chooses_other_cases(kind, request):
    index, labels = request.getfixturevalue(kind)
    found = [cases_of(index, choose_labelled(labels, index, 0.3, seed)) for seed in (0, 0, 1)]
    assert found[0] == found[1] and len(found[0]) == len(found[2])
    # Two independent choices of 30 % share 30 %.
    assert 0.1 < len(found[0] & found[2]) / len(found[0]) < 0.5


@pytest.mark.parametrize("kind", ["classes", "findings"])
def test_the_order_of_the_cases_does_not_matter(kind, request):
    index, labels = request.getfixturevalue(kind)
    order = np.random.default_rng(2).permutation(index.num_cases)
    moved = make_index(index.images_per_case[order])
    moved = CaseIndex(**vars(moved) | {"case_id": index.case_id[order]})
    images = np.concatenate([np.flatnonzero(index.case_of_image == c) for c in order])
    for fraction in (0.1, 0.6):
        before = choose_labelled(labels, index, fraction, 5)
        after = choose_labelled(labels[images], moved, fraction, 5)
        assert cases_of(moved, after) == cases_of(index, before)
        np.testing.assert_array_equal(np.sort(images[after]), before)


def test_what_is_labelled():
    np.testing.assert_array_equal(is_labelled(np.array([-1, 0, 3])), [False, True, True])
    table = np.array([[-1, -2], [0, -2], [-2, 1], [-1, -1]], np.int8)
    np.testing.assert_array_equal(is_labelled(table), [False, True, True, False])


# ---------------------------------------------------------------- classes


# a 2, b 5, c 1, d 5 images, and 3 blank: the rest is "Other".
COUNTED = np.repeat([0, 1, 2, 3, -1], [2, 5, 1, 5, 3])


@pytest.mark.parametrize(
    "top, names", [(0, CLASSES), (1, ("b", "Other")), (2, ("b", "d", "Other")),
                   (3, ("a", "b", "d", "Other"))],
)  # fmt: skip
def test_top_classes_are_the_most_frequent_ones_in_their_order(top, names):
    index = make_index(np.ones(len(COUNTED), int), COUNTED)
    data = make_data(index, CLASSES)
    targets = Targets.of(data, top)
    assert (targets.names, targets.multilabel) == (names, False)
    expected = [
        -1 if label < 0 else names.index(CLASSES[label] if CLASSES[label] in names else "Other")
        for label in COUNTED
    ]
    labels = targets.labels(data, index)
    assert labels.dtype == np.int64 and labels.tolist() == expected


def test_a_class_that_is_called_other_takes_in_the_rest():
    index = make_index(np.ones(len(COUNTED), int), COUNTED)
    for names, top in ((("a", "Other", "c", "d"), 2), (("Other", "b", "c", "d"), 2)):
        data = make_data(index, names)
        targets = Targets.of(data, top)
        assert targets.names[-1] == "Other" and targets.names.count("Other") == 1
        labels = targets.labels(data, index)
        kept = targets.names[:-1]
        for old, new in zip(COUNTED, labels, strict=True):
            name = names[old] if old >= 0 else ""
            assert (targets.names[new] if new >= 0 else "") == (
                name if name in kept or not name else "Other"
            )
    assert Targets.of(make_data(index, ("a", "Other", "c", "d")), 2).names == ("a", "d", "Other")


@pytest.mark.parametrize("top", [4, 9])
def test_more_top_classes_than_there_are(top):
    data = make_data(make_index([1], [0]), CLASSES)
    with pytest.raises(BadInput) as error:
        Targets.of(data, top)
    assert str(error.value) == f"--top_classes={top}: set has only 4 classes"


def test_targets_that_cannot_be():
    with pytest.raises(BadInput, match="--dataset: set has no labels"):
        Targets.of(make_data(make_index([1], [-1])))
    of_findings = make_data(make_index([1], findings=[[1, 0]]), finding_names=("e", "f"))
    with pytest.raises(BadInput, match="--top_classes=1: set has findings, no classes"):
        Targets.of(of_findings, 1)
    assert Targets.of(of_findings) == Targets(("e", "f"), True)


def test_classes_in_another_order_and_missing_ones():
    targets = Targets(("a", "b", "c"), False)
    index = make_index([1] * 4, [0, 1, -1, 1])
    assert targets.labels(make_data(index, ("c", "a")), index).tolist() == [2, 0, -1, 0]


def test_an_unknown_class_is_named():
    index = make_index([1], [0])
    with pytest.raises(BadInput) as error:
        Targets(("a", "b"), False).labels(make_data(index, ("a", "z")), index)
    assert str(error.value) == (
        "--dataset: set has the class z, which the classifier does not know; it knows a, b"
    )
    rest = Targets(("a", "Other"), False, has_rest=True)
    assert rest.labels(make_data(index, ("z", "a")), index, "--x").tolist() == [1]
    literal = Targets(("a", "Other"), False)  # a class of that name is a class like others
    with pytest.raises(BadInput, match="--x: set has the class z, which"):
        literal.labels(make_data(index, ("z", "a")), index, "--x")


@pytest.mark.parametrize("count, more", [(20, ""), (21, " and 1 more"), (23, " and 3 more")])
def test_the_first_unknown_class_is_named_and_twenty_known_ones(count, more):
    known = tuple(f"k{k:02d}" for k in range(count))
    index = make_index([1], [0])
    with pytest.raises(BadInput) as error:
        Targets(known, False).labels(make_data(index, ("k05", "y", "x", "z")), index)
    assert str(error.value) == (
        "--dataset: set has the class y, which the classifier does not know; it knows "
        f"{', '.join(known[:20])}{more}"
    )


def test_one_class_is_nothing_to_learn():
    with pytest.raises(BadInput) as error:
        Targets.of(make_data(make_index([1], [0]), ("a",)))
    assert str(error.value) == "--dataset: set has one class, a: there is nothing to tell apart"


def test_findings_in_another_order_and_missing_ones():
    index = make_index([1] * 3, findings=[[1, 0], [-1, -2], [0, 1]])
    data = make_data(index, finding_names=("z", "a"))
    labels = Targets(("a", "b", "z"), True).labels(data, index)
    assert labels.dtype == np.int8
    assert labels.tolist() == [[0, -2, 1], [0, -2, -1], [1, -2, 0]]
    with pytest.raises(BadInput, match="--x: set has none of b, c"):
        Targets(("b", "c"), True).labels(data, index, "--x")


def test_labels_of_the_other_kind():
    of_classes = make_data(make_index([1], [0]), ("a",))
    with pytest.raises(BadInput) as error:
        Targets(("a",), True).labels(of_classes, of_classes.open("train").index)
    assert str(error.value) == (
        "--dataset: set has one class per image, and the classifier predicts findings; "
        "name a manifest's with --findings or --findings_column"
    )
    of_findings = make_data(make_index([1], findings=[[1]]), finding_names=("a",))
    with pytest.raises(BadInput) as error:
        Targets(("a",), False).labels(of_findings, of_findings.open("train").index)
    assert str(error.value) == (
        "--dataset: set has findings, and the classifier predicts one class per image"
    )


def test_data_without_any_labels():
    index = make_index([2, 1], [-1, -1, -1])
    data = make_data(index)
    assert Targets(("a", "b"), False).labels(data, index).tolist() == [-1] * 3
    labels = Targets(("a", "b"), True).labels(data, index)
    assert labels.dtype == np.int8 and labels.tolist() == [[-2, -2]] * 3
    assert not is_labelled(labels).any()


def test_equal_targets_are_one_key_and_stay_as_they_are():
    counts = {Targets(("a", "b"), True): 3}
    assert counts[Targets(["a", "b"], True)] == 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        next(iter(counts)).names = ("c",)


def test_json_round_trip():
    targets = Targets(("a", "b"), True)
    assert Targets(**targets.to_json()) == targets
    assert targets.to_json() == {
        "names": ["a", "b"], "multilabel": True, "has_rest": False,
        "uncertain": "ignore", "unmentioned": "zeros",
    }  # fmt: skip


# ---------------------------------------------------------------- findings: what counts as what

# Present, absent, uncertain and not mentioned beside each other; then only what is uncertain;
# then nothing at all.
STATED = np.array([[1, 0, -1, -2], [-2, 1, -2, -1], [-1, -2, -2, -2], [-2, -2, -2, -2]], np.int8)
JUDGED = {
    ("ignore", "zeros"): [[1, 0, -1, 0], [0, 1, 0, -1], [-1, 0, 0, 0], [-2, -2, -2, -2]],
    ("zeros", "zeros"): [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [-2, -2, -2, -2]],
    ("ones", "zeros"): [[1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 0, 0], [-2, -2, -2, -2]],
    ("ignore", "ignore"): STATED.tolist(),
    ("zeros", "ignore"): [[1, 0, 0, -2], [-2, 1, -2, 0], [0, -2, -2, -2], [-2, -2, -2, -2]],
    ("ones", "ignore"): [[1, 0, 1, -2], [-2, 1, -2, 1], [1, -2, -2, -2], [-2, -2, -2, -2]],
}
NAMES = ("Edema", "Mass", "Effusion", "Hernia")


@pytest.fixture
def chests():
    return make_data(make_index([1] * 4, findings=STATED), finding_names=NAMES)


@pytest.mark.parametrize("uncertain, unmentioned", JUDGED)
def test_policies(chests, uncertain, unmentioned):
    targets = Targets.of(chests, uncertain=uncertain, unmentioned=unmentioned)
    assert (targets.uncertain, targets.unmentioned) == (uncertain, unmentioned)
    labels = targets.labels(chests, chests.index["train"])
    assert labels.dtype == np.int8
    assert labels.tolist() == JUDGED[uncertain, unmentioned]
    only_uncertain = (uncertain, unmentioned) != ("ignore", "ignore")  # the third image
    assert is_labelled(labels).tolist() == [True, True, only_uncertain, False]
    np.testing.assert_array_equal(chests.index["train"].findings, STATED)  # as it was


def of_flags(config, data):
    return Targets.of_flags(
        data, config.part(Labels), config.part(LabelPolicy),
        train_split=config.train_split, findings=config.findings,
    )  # fmt: skip


def test_policies_of_a_config(chests):
    config = Config(uncertain="ones", unmentioned="ignore", findings="Hernia, Edema")
    targets = of_flags(config, chests)
    assert targets == Targets(("Hernia", "Edema"), True, False, "ones", "ignore")
    assert of_flags(Config(), chests) == Targets(NAMES, True, False, "ignore", "zeros")
    assert Targets(**targets.to_json()) == targets


def test_policies_do_nothing_without_findings_and_say_so(chests, capsys):
    note = "note: --{} does nothing without findings\n"
    classes = make_data(make_index([1, 1], [0, 1]), ("a", "b"))
    for given, expected in (
        ({}, ""),
        ({"unmentioned": "ignore"}, note.format("unmentioned")),
        (
            {"uncertain": "ones", "unmentioned": "ignore"},
            note.format("uncertain") + note.format("unmentioned"),
        ),
    ):
        assert of_flags(Config(**given), classes) == Targets(("a", "b"), False)
        assert capsys.readouterr().out == expected
        of_flags(Config(**given), chests)
        assert capsys.readouterr().out == ""


@pytest.mark.parametrize("uncertain", ["ignore", "zeros", "ones"])
@pytest.mark.parametrize("unmentioned", ["zeros", "ignore"])
def test_what_a_dataset_lacks_is_never_judged(chests, uncertain, unmentioned):
    targets = Targets(("Mass", "Fracture"), True, False, uncertain, unmentioned)
    labels = targets.labels(chests, chests.index["train"])
    assert labels[:, 1].tolist() == [-2] * 4
    assert labels[:2, 0].tolist() == [0, 1]


def test_an_image_is_mentioned_by_findings_that_are_not_predicted(chests):
    """Whoever wrote of the oedema would have written of the hernia."""
    labels = Targets(("Hernia",), True).labels(chests, chests.index["train"])
    assert labels.tolist() == [[0], [-1], [0], [-2]]


def test_other_names_of_findings():
    data = make_data(
        make_index([1] * 2, findings=[[1, 0], [0, 1]]),
        finding_names=("Effusion", "Mass"),
        synonyms={"Pleural Effusion": "Effusion", "Mass": "Effusion"},
    )
    assert [column_of(data, name) for name in ("Effusion", "Pleural Effusion", "Hernia")] == [
        0, 0, None,
    ]  # fmt: skip
    assert column_of(data, "Mass") == 1  # its own name goes first
    targets = Targets(("Mass", "Pleural Effusion", "Edema"), True)
    assert targets.labels(data, data.index["train"]).tolist() == [[0, 1, -2], [1, 0, -2]]
    with pytest.raises(BadInput) as error:
        Targets(("Edema", "Hernia"), True).labels(data, data.index["train"], "--dataset=x")
    assert str(error.value) == "--dataset=x: set has none of Edema, Hernia"


def test_findings_are_found_in_any_case_where_none_is_there_to_the_letter():
    data = make_data(
        make_index([1], findings=[[1, 0, 1, 0]]), finding_names=("Mass", "edema", "EDEMA", "Hernia")
    )
    found = {name: column_of(data, name) for name in ("EDEMA", "edema", "Edema", "HERNIA", "Mas")}
    assert found == {"EDEMA": 2, "edema": 1, "Edema": 1, "HERNIA": 3, "Mas": None}


def test_which_findings_are_predicted():
    data = make_data(
        make_index([1], findings=[[1, 0, 1, 0]]), finding_names=NAMES, default_findings=("Mass",)
    )
    assert Targets.of(data).names == ("Mass",)
    assert Targets.of(data, findings="all").names == NAMES
    assert Targets.of(data, findings="Hernia,Edema").names == ("Hernia", "Edema")
    for findings, message in (
        ("Edma", f"has no finding Edma; it has {', '.join(NAMES)}; did you mean Edema?"),
        ("Edema,x", f"has no finding x; it has {', '.join(NAMES)}"),
        ("Edema,", f"has no finding ; it has {', '.join(NAMES)}"),
    ):
        with pytest.raises(BadInput) as error:
            Targets.of(data, findings=findings)
        assert str(error.value) == f"--findings={findings}: set {message}"
    with pytest.raises(BadInput) as error:
        Targets.of(data, findings="Edema,Mass,Edema")
    assert str(error.value) == "--findings=Edema,Mass,Edema: Edema is named twice"
    with pytest.raises(BadInput) as error:
        Targets.of(make_data(make_index([1], [0]), ("a", "b")), findings="Edema")
    assert str(error.value) == "--findings=Edema: set has one class per image"
