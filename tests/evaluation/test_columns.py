import pytest

from micle_tf.evaluation import columns


@pytest.mark.parametrize("multilabel", [False, True])
def test_a_header_says_what_it_was_made_of(multilabel):
    names = ("a", "p_b", "label")
    label, score = columns.label_columns(names, multilabel), columns.score_columns(names)
    assert len(label) == (3 if multilabel else 1) and score == ["p_a", "p_p_b", "p_label"]
    assert columns.names_of([*columns.IDS, *label, *score]) == (names, multilabel)


@pytest.mark.parametrize("missing", [*columns.IDS, "label_b"])
def test_a_header_that_is_not_ours(missing):
    header = [*columns.IDS, "label_a", "label_b", "p_a", "p_b"]
    header.remove(missing)
    assert columns.names_of(header) == ((), True)
