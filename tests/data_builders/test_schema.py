import pytest

from data_builders.schema import BadData, BadImages, Case, CaseImage, CaseSource


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_so_many_bad_images_and_no_more(limit):
    bad = BadImages(limit)
    for number in range(limit):
        bad.add(f"row {number}")
    with pytest.raises(BadData) as caught:
        bad.add("the last")
    more = f"; that makes more than --max_bad_images={limit}" if limit else ""
    assert str(caught.value) == f"the last{more}"
    assert bad.messages == [*(f"row {number}" for number in range(limit)), "the last"]


class File:
    shown = "photos/a.jpg"

    def __call__(self):
        return b""


@pytest.mark.parametrize(
    "read, where, source",
    [
        (lambda: b"", "cases.csv row 7", "cases.csv row 7"),
        (File(), "cases.csv row 7", "cases.csv row 7: photos/a.jpg"),
        (File(), "photos/a.jpg", "photos/a.jpg"),
    ],
)
def test_a_message_names_row_and_file(read, where, source):
    assert CaseImage("a", read, where=where).source == source


def test_cases_are_counted_over_splits():
    case = Case("c", "p", (CaseImage("a", File()),))
    assert CaseSource({"train": [case] * 3, "test": [case]}).num_cases == 4
    assert CaseSource({}).num_cases == 0
    assert CaseSource({}).bad_images is not CaseSource({}).bad_images  # each its own
