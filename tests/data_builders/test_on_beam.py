"""Cases written on Beam: the examples of the generator, and what was left out of them in a file."""

import functools
import json

import pytest

from data_builders import on_beam
from data_builders.examples import read_case
from data_builders.images import ImageOptions
from data_builders.on_threads import case_examples
from data_builders.schema import BadImages, Case, CaseImage, CaseSource
from tests.kinds_of_images import picture, saved
from tests.pictures import png


def case_of(case_id, *contents):
    """A case that can be sent to another process."""
    return Case(
        case_id,
        f"p{case_id}",
        tuple(
            CaseImage(
                f"{case_id}/{i}", functools.partial(bytes, content), where=f"{case_id} row {i}"
            )
            for i, content in enumerate(contents)
        ),
    )


def cases():
    """One image of the second is bad, both of the third; one of the first is turned."""
    turned = saved(picture(5, 4), "PNG", turned=6)
    return [
        case_of("a", png(4, 5), turned),
        case_of("b", png(4, 5, 1), b"text"),
        case_of("c", b"", b"GIF89a"),
    ]


def test_what_workers_found_is_added_up_in_any_grouping():
    found = [read_case(case, ImageOptions())[1:] for case in cases()]
    together = on_beam._joined(found)
    assert together == on_beam._joined([on_beam._joined(found[:1]), on_beam._joined(found[1:])])
    messages, counts = together
    assert [message.split(":")[0] for message in messages] == ["b row 1", "c row 0", "c row 1"]
    assert counts["turned"] == 1 and counts["with_position"] == 0
    assert on_beam._joined([]) == ([], {})


def test_beam_gives_what_the_generator_gives(tmp_path):
    beam = pytest.importorskip("apache_beam")
    found, written = tmp_path / "found.json", tmp_path / "examples"
    with beam.Pipeline(runner="DirectRunner") as pipeline:
        examples = pipeline | on_beam.beam_examples(cases(), ImageOptions(), str(found))
        lines = examples | beam.Map(lambda item: repr((item[0], sorted(item[1].items()))))
        lines | beam.io.WriteToText(str(written), shard_name_template="")
    source = CaseSource({"train": cases()}, bad_images=BadImages(3))
    expected = list(case_examples(cases(), ImageOptions(), source))
    expected = [one for one in expected if one is not None]
    assert sorted(written.read_text().splitlines()) == sorted(
        repr((case_id, sorted(example.items()))) for case_id, example in expected
    )
    assert len(expected) == 2
    assert json.loads(found.read_text()) == {
        "bad_images": sorted(source.bad_images.messages),
        "counts": {"turned": 1, "with_position": 0},
    }
