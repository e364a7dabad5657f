import pytest

from data_builders.derm_cases.photos import photo_rows
from data_builders.reading.tables import Table
from data_builders.schema import BadData, BadImages
from tests.pictures import jpeg

TABLE = "id,lesion,dx,age,site\na,l1,mel,40,arm\nb.png,l1,mel,unknown,\nc,l2,nv,,leg\n"


def rows_of(tmp_path, limit=0, table=TABLE, attributes=None):
    (tmp_path / "table.csv").write_text(table)
    bad = BadImages(limit)
    found = photo_rows(
        Table(str(tmp_path / "table.csv")), str(tmp_path), bad,
        ids=("id", "lesion"),
        photo_of=lambda photo, lesion: (photo, {"image": photo, "case_id": f"case {lesion}"}),
        label="dx",
        attributes=attributes or {"years": "age", "place": "site", "sex": "gender"},
        unknown=("unknown",),
    )  # fmt: skip
    return found, bad.messages


def test_a_row_for_each_photo_wherever_it_lies(tmp_path):
    for path in ("part_1/a.jpg", "part_2/deep/b.jpg", "c.jpg"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(jpeg())
    rows, left_out = rows_of(tmp_path)
    assert left_out == []
    assert [row.case_id for row in rows] == ["case l1", "case l1", "case l2"]
    assert [row.label for row in rows] == ["mel", "mel", "nv"]
    assert [row.attributes for row in rows] == [
        {"years": "40", "place": "arm"},
        {},
        {"place": "leg"},
    ]
    assert [row.where.rpartition(" ")[2] for row in rows] == ["2", "3", "4"]
    assert [row.file() for row in rows] == [jpeg()] * 3


def test_a_photo_that_is_missing(tmp_path):
    for name in "ac":
        (tmp_path / f"{name}.jpg").write_bytes(jpeg())
    with pytest.raises(BadData, match=r"row 3"):
        rows_of(tmp_path)
    rows, (left_out,) = rows_of(tmp_path, limit=1)
    assert len(rows) == 2 and "row 3" in left_out


def test_an_id_that_is_blank(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg())
    with pytest.raises(BadData, match=r"row 2"):
        rows_of(tmp_path, table="id,lesion,dx\na,,mel\n")
