"""Properties of splits over tables made at random, whatever the spelling of ids."""

import collections
import unicodedata

import hypothesis
from hypothesis import strategies as st

from data_builders.case_builder import check_cases
from data_builders.grouping import ImageRow, ReadOptions, group_rows
from data_builders.ids import alike
from data_builders.image_files import ImageFile
from data_builders.splits import choose_split, patient_key
from tests.data_builders.manifests import split_of

hypothesis.settings.register_profile("quiet", deadline=None, max_examples=150, derandomize=True)
hypothesis.settings.load_profile("quiet")

PEOPLE = (
    "7",
    "70",
    "1.1",
    "1.10",
    "smith",
    "ren\u00e9",
    "a b",
    "ab",
    "stra\u00dfe",
    "p1",
    "p2",
    "p01",
)


@st.composite
def spelled(draw, person):
    """One of the ways in which a person may be written."""
    text = person
    if text.isdecimal():
        text = (
            draw(st.sampled_from(["", "0", "000"]))
            + text
            + draw(st.sampled_from(["", ".0", ".000"]))
        )
    text = draw(st.sampled_from([text, text.upper(), text.title(), text.casefold()]))
    text = unicodedata.normalize(draw(st.sampled_from(["NFC", "NFD"])), text)
    text = text.replace(" ", draw(st.sampled_from([" ", "  ", "\u00a0", " \u200b"])))
    return draw(st.sampled_from(["", "\u200b", "\ufeff", " "])) + text


@st.composite
def tables(draw, write=spelled):
    """[(person, as written, stated split)], a row per case; the splits of a person agree."""
    people = draw(st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=30))
    stated = {person: draw(st.sampled_from(["", "", "train", "test"])) for person in PEOPLE}
    return [(person, draw(write(person)), stated[person]) for person in people]


def rows_of(table):
    return [
        ImageRow(
            f"row {k}", ImageFile(f"{k}", f"{k}", k, f"{k}"), f"i{k}", f"c{k}", text, split=split
        )
        for k, (_, text, split) in enumerate(table)
    ]


@hypothesis.given(st.data())
def test_the_spellings_are_one_id(data):
    person = data.draw(st.sampled_from(PEOPLE))
    assert alike(data.draw(spelled(person))) == alike(person)


def test_people_are_different_and_are_written_in_several_ways():
    assert len({alike(person) for person in PEOPLE}) == len(PEOPLE)
    for person in PEOPLE:
        hypothesis.find(spelled(person), lambda text, person=person: text.strip() != person)


@hypothesis.given(tables())
def test_no_patient_is_in_two_splits(table):
    source = group_rows(rows_of(table))
    check_cases(source.cases)
    split = split_of(source)
    splits = collections.defaultdict(set)
    for k, (person, _, _) in enumerate(table):
        splits[alike(person)].add(split[f"c{k}"])
    assert all(len(found) == 1 for found in splits.values())


@hypothesis.given(tables(), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_no_split(table, random):
    before = split_of(group_rows(rows_of(table)))
    order = list(range(len(table)))
    random.shuffle(order)
    rows = rows_of(table)
    after = split_of(group_rows([rows[k] for k in order]))
    assert before == after


@hypothesis.given(
    st.lists(st.sampled_from(PEOPLE), min_size=9, max_size=40), st.sets(st.integers(0, 8))
)
def test_without_spellings_to_merge_nothing_moves(people, blank):
    """Splits, and the hash that names the data, are those of ids as they are written."""
    people = [*people, *PEOPLE]  # so that the nearest by hash need not be moved
    table = [(p, "" if k in blank else p, "") for k, p in enumerate(people)]
    source = group_rows(rows_of(table))
    literal = group_rows(rows_of(table), ReadOptions(ids="literal"))
    assert source.fingerprint == literal.fingerprint and source.notes == literal.notes
    assert split_of(source) == split_of(literal)


@hypothesis.given(st.data())
def test_train_if_any_spelling_is_in_train(data):
    """Else the split of the first one in sorted order; as a table of people with others around."""
    person = data.draw(st.sampled_from(PEOPLE))
    spellings = data.draw(st.lists(spelled(person), min_size=2, max_size=4, unique=True))
    others = [(p, p, "") for p in PEOPLE if alike(p) != alike(person)] + [
        (f"x{k}", f"x{k}", "") for k in range(40)
    ]
    table = [(person, text, "") for text in spellings] + others
    own = {text: choose_split(patient_key(text, "")) for text in spellings}
    expected = "train" if "train" in own.values() else own[min(spellings)]
    assert split_of(group_rows(rows_of(table)))["c0"] == expected
