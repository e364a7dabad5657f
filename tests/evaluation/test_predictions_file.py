"""Tables of predictions: a run's own read back, and somebody else's of the same images.

What is said of a damaged predictions.csv is looked at in test_compare.
"""

import numpy as np
import pytest

from micle_tf.errors import BadInput
from micle_tf.evaluation.predictions_file import read_others, read_predictions, with_cases_of

OURS = """level,case_id,patient_id,image_id,label,p_oval,p_ring,p_star
image,c1,p1,i1,oval,0.7,0.2,0.1
image,c2,,i2,star,0.1,0.3,0.6
image,c2,,i3,star,0.2,0.2,0.6
image,c3,p1,i4,,0.3,0.3,0.4
case,c1,p1,,oval,0.7,0.2,0.1
case,c2,,,star,0.15,0.25,0.6
case,c3,p1,,,0.3,0.3,0.4
"""
NAMES = ("oval", "ring", "star")


@pytest.fixture
def run(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/predictions.csv").write_text(OURS)
    rows, names, multilabel = read_predictions(str(tmp_path / "run"))
    assert (names, multilabel) == (NAMES, False)
    return rows


@pytest.fixture
def read(tmp_path, run):
    def read(text, **options):
        path = tmp_path / "theirs.csv"
        path.write_text(text, encoding="utf-8")
        return read_others(str(path), run, NAMES, False, **options)

    return read


def test_a_file_of_ours(run):
    images = run["image"]
    assert images["ids"][1].tolist() == ["image", "c2", "", "i2"]
    assert images["patient"].tolist() == ["p1", "\0c2", "\0c2", "p1"]
    assert images["label"].tolist() == [0, 2, 2, -1]
    assert run["case"]["score"].tolist() == [[0.7, 0.2, 0.1], [0.15, 0.25, 0.6], [0.3, 0.3, 0.4]]


def test_others_take_labels_cases_and_patients_from_the_run(run, read):
    """In any order of rows and columns, p_ or not, with columns of their own."""
    rows = read(
        "star,note,p_ring,image_id,oval\n0.4,x,0.5,i4,0.1\n0.2,,0.8,i3,0\n0.1,,0.1,i1,0.8\n"
        '0.6,"a\nb",0.3,i2,0.1\n'
    )
    images = rows["image"]
    assert images["ids"][:, 3].tolist() == ["i4", "i3", "i1", "i2"]
    assert images["label"].tolist() == [-1, 2, 0, 2]
    assert images["patient"].tolist() == ["p1", "\0c2", "p1", "\0c2"]
    np.testing.assert_array_equal(images["score"][1], [0, 0.8, 0.2])
    np.testing.assert_array_equal(rows["case"]["ids"], run["case"]["ids"])
    np.testing.assert_allclose(rows["case"]["score"][1], [0.05, 0.55, 0.4], atol=1e-15)


def test_a_mean_over_images_does_not_depend_on_their_order(run):
    shuffled = {name: values[[3, 2, 0, 1]] for name, values in run["image"].items()}
    expected, found = (with_cases_of(rows, run)["case"] for rows in (run["image"], shuffled))
    np.testing.assert_array_equal(found["score"], expected["score"])
    np.testing.assert_allclose(expected["score"], run["case"]["score"], atol=1e-15)


def test_images_that_only_one_has_are_counted_or_left_out(read, capsys):
    text = "image_id,oval,ring,star\ni1,1,0,0\ni2,0,0,1\nnew,0,0,1\n"
    with pytest.raises(BadInput, match="of 4 images of the run 2 are missing, and 1 of its 3 rows"):
        read(text)
    rows = read(text, common=True)
    assert capsys.readouterr().out.endswith("theirs.csv: 1 row is of other images\n")
    assert rows["image"]["ids"][:, 3].tolist() == ["i1", "i2"]
    assert rows["case"]["ids"][:, 1].tolist() == ["c1"]  # i3 is not there, and so c2 is not whole
    with pytest.raises(BadInput, match="none of its 1 rows is of an image of the run"):
        read("image_id,oval,ring,star\nnew,1,0,0\n", common=True)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "theirs.csv: has no column image_id and 3 more; image_id and a probability for each"),
        ("image_id,oval,star\ni1,1,0\n", "has no column ring; image_id and a probability for"),
        ("image_id,oval,ring,star\n", "theirs.csv: has no rows"),
        ("image_id,oval,ring,star,oval\ni1,1,0,0,1\n", "has two columns oval"),
        ("image_id,oval,ring,star,image_id\ni1,1,0,0,i2\n", "has two columns image_id"),
        ("level,level,image_id,oval,ring,star\n", "has two columns level"),
        ("image_id,oval,ring,star\ni1,1,0,0\ni1,1,0,0\n", "image_id i1 is there twice"),
        ("image_id,oval,ring,star\ni1,1,0,0\n i1,1,0,0\n", "image_id i1 is there twice"),
        ("image_id,oval,ring,star\ni1,1,0,0\ni2,1,0\n", "row 3: 3 fields, but the header has 4"),
        ("image_id,oval,ring,star\ni1,0.5,0.3,0.19\n", "row 2: the probabilities sum to 0.99, not"),
        ("image_id,oval,ring,star\ni1,2,-1,0\n", "row 2: column oval holds '2', no probability"),
        ("image_id,oval,ring,star\ni1,nan,1,0\n", "row 2: column oval holds 'nan'"),
        ("image_id,oval,ring,star\ni1,,1,0\n", "row 2: column oval holds ''"),
        ('image_id,oval,ring,star\n"i1,1,0,0\n', "row 2: unexpected end of data"),
    ],
)
def test_tables_that_are_none(read, text, message):
    with pytest.raises(BadInput) as error:
        read(text)
    assert message in str(error.value) and "\n" not in str(error.value)


HEADER = "image_id,oval,ring,star\n"
ALL = "i1,1,0,0\ni2,0,0,1\ni3,0,0,1\ni4,0,0,1\n"


def test_a_mark_at_the_start_and_spaces_around_ids_do_not_count(read, run, tmp_path):
    expected = read(HEADER + ALL)["image"]["ids"].tolist()
    spaced = ALL.replace("i2,", " i2 ,").replace("i3", "\u00a0i3")
    assert read("\ufeff" + HEADER + spaced)["image"]["ids"].tolist() == expected
    (tmp_path / "run/predictions.csv").write_text("\ufeff" + OURS, encoding="utf-8")
    rows, _, _ = read_predictions(str(tmp_path / "run"))
    np.testing.assert_array_equal(rows["case"]["ids"], run["case"]["ids"])


@pytest.mark.parametrize("separator, called", [(";", "semicolons"), ("\t", "tabs")])
def test_other_separators_are_named(read, separator, called):
    with pytest.raises(BadInput, match=f"theirs.csv: separated by {called}; commas are needed"):
        read((HEADER + ALL).replace(",", separator))


def test_a_last_line_without_an_end_is_said(read, capsys):
    read(HEADER + ALL)
    assert capsys.readouterr().out == ""
    read(HEADER + ALL[:-1])
    said = capsys.readouterr().out
    assert said.startswith("note: ")
    assert said.endswith("theirs.csv: its last line has no end; the file may be cut off\n")


@pytest.mark.parametrize(
    "row, what", [("image,c2,,i2,star,0,0,1", "image i2"), ("case,c1,,,oval,1,0,0", "case c1")]
)
def test_a_row_of_ours_that_is_there_twice(tmp_path, row, what):
    (tmp_path / "predictions.csv").write_text(f"{OURS}{row}\n")
    with pytest.raises(BadInput, match=rf"predictions.csv row 9: damaged \({what} is there twice"):
        read_predictions(str(tmp_path))
    elsewhere = OURS.replace("image,c3,p1,i4", "image,c3,p1,i3")  # of another case
    (tmp_path / "predictions.csv").write_text(elsewhere)
    assert len(read_predictions(str(tmp_path))[0]["image"]["ids"]) == 4


def test_probabilities_may_sum_to_one_within_a_thousandth(read):
    rest = "i2,0,0,1\ni3,0,0,1\ni4,0,0,1\n"
    rows = read("image_id,oval,ring,star\ni1,0.3333,0.3333,0.3333\n" + rest)
    np.testing.assert_array_equal(rows["image"]["score"][0], [0.3333] * 3)


def test_findings_need_not_sum_to_one(tmp_path):
    (tmp_path / "predictions.csv").write_text(
        "level,case_id,patient_id,image_id,label_Edema,label_Fracture,p_Edema,p_Fracture\n"
        "image,c1,p1,i1,1,-1,0.9,0.8\nimage,c2,p1,i2,0,-2,0.1,0.2\n"
    )
    rows, names, multilabel = read_predictions(str(tmp_path))
    (tmp_path / "theirs.csv").write_text("image_id,Edema,Fracture\ni2,0.5,0.9\ni1,0.4,0.7\n")
    theirs = read_others(str(tmp_path / "theirs.csv"), rows, names, multilabel)
    assert theirs["image"]["label"].tolist() == [[0, -2], [1, -1]]
    assert list(theirs) == ["image"]  # the run has no cases either
