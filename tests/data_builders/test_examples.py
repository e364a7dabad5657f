"""One case as an example, and the last check of all of them."""

import numpy as np
import pytest

from data_builders.examples import check_cases, read_case
from data_builders.images import ImageOptions
from data_builders.schema import BadData, Case, CaseImage
from tests.pictures import jpeg


def case_of(case_id, *contents, patient_id=""):
    """A case with the given bytes as images."""
    images = tuple(
        CaseImage(f"{case_id}/{i}", lambda content=content: content, where=f"{case_id} row {i}")
        for i, content in enumerate(contents)
    )
    return Case(case_id, patient_id, images)


def test_findings_take_the_place_of_labels():
    images = tuple(CaseImage(f"i{j}", jpeg, findings=(1, -j, 0)) for j in range(2))
    (_, example), _, _ = read_case(Case("c", "p", images), ImageOptions())
    assert "class_label" not in example
    assert example["findings"].dtype == np.int8
    np.testing.assert_array_equal(example["findings"], [[1, 0, 0], [1, -1, 0]])


def test_attributes_of_what_is_left_out_go_with_it():
    whole = case_of("c", jpeg(seed=1), b"", jpeg(seed=2))
    case = Case("c", "", whole.images, {"age": "40", "site": ["arm", "leg", ""]})
    (_, example), left_out, _ = read_case(case, ImageOptions())
    assert left_out == ["c row 1: the file is empty"]
    assert example["image_id"] == ["c/0", "c/2"]
    assert example["attributes"] == '{"age": "40", "site": ["arm", ""]}'


# ---------------------------------------------------------------- the last check


def test_cases_that_are_sound():
    check_cases(
        {
            "train": [case_of("c1", b"", b"", patient_id="p"), case_of("c2", b"", patient_id="p")],
            "test": [case_of("c3", b""), case_of("c4", b"")],
        }
    )


@pytest.mark.parametrize(
    "train, test, message",
    [
        (
            case_of("c1", b"", patient_id="p"),
            case_of("c2", b"", patient_id="p"),
            "c2 row 0: patient p is in test, but in train in c1 row 0; "
            "a patient must stay in one split",
        ),
        (
            case_of("c1", b"", patient_id="p"),
            case_of("c1", b"", patient_id="q"),
            "c1 row 0: case c1 is there twice (c1 row 0)",
        ),
        (
            case_of("c1", b""),
            Case("c2", "", case_of("c1", b"").images),
            "c1 row 0: image c1/0 is there twice (c1 row 0)",
        ),
        (case_of("c1", b""), Case("c2", "", ()), "case c2 has no image"),
    ],
)
def test_cases_that_are_not(train, test, message):
    with pytest.raises(BadData) as caught:
        check_cases({"train": [train], "test": [test]})
    assert str(caught.value) == message
