"""CSV files as they come: delimiters, marks, gzip, and which row is at fault."""

import gzip

import pytest

from data_builders.reading.tables import (
    Table,
    attributes_of,
    counted,
    find_table,
    find_table_or_none,
    names_in,
    one_of,
    own_table,
)
from data_builders.schema import BadData


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(content, name="t.csv"):
    """Writes a file, gzipped if it ends in .gz, and returns its name."""
    content = content if isinstance(content, bytes) else content.encode()
    with (gzip.open if name.endswith(".gz") else open)(name, "wb") as file:
        file.write(content)
    return name


def rows_of(content, name="t.csv"):
    """(header, [(where, fields)])."""
    table = Table(write(content, name))
    return table.header, list(table)


def expect_fault(message, content, name="t.csv"):
    with pytest.raises(BadData) as caught:
        rows_of(content, name)
    assert str(caught.value) == message


# ---------------------------------------------------------------- what is read


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_dialects(name, mark, line_end, start):
    text = start + line_end.join(['id|"a, b; c\td"|é', "1|x|", ' 2 |" y, z "|ü'])
    header, rows = rows_of(text.replace("|", mark), name)
    assert header == ("id", "a, b; c\td", "é")
    assert rows == [(f"{name} row 2", ["1", "x", ""]), (f"{name} row 3", ["2", "y, z", "ü"])]


def test_one_column():
    assert rows_of("image\na b\n") == (("image",), [("t.csv row 2", ["a b"])])


def test_rows_are_numbered_by_their_first_line():
    text = 'a,"b\nc"\n\n1,"x\n\ny"\n , \n2,z\n'
    header, rows = rows_of(text)
    assert header == ("a", "b\nc")
    assert rows == [("t.csv row 4", ["1", "x\n\ny"]), ("t.csv row 8", ["2", "z"])]


def test_blank_fields_at_the_end_do_not_count():
    _, rows = rows_of("a,b\n1,2,\n3,4,, ,\n5,\n")
    assert [fields for _, fields in rows] == [["1", "2"], ["3", "4"], ["5", ""]]
    expect_fault("t.csv row 3: 4 fields, but the header has 2", "a,b\n1,2\n1,2,,x\n")


def test_it_may_be_read_again():
    table = Table(write("a,b\n1,2\n3,4\n"))
    first = iter(table)
    assert next(first) == ("t.csv row 2", ["1", "2"])
    assert list(table) == [("t.csv row 2", ["1", "2"]), ("t.csv row 3", ["3", "4"])]
    assert next(first) == ("t.csv row 3", ["3", "4"])


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
@pytest.mark.parametrize(
    "content, message",
    [
        ("", ": the file is empty"),
        ("\n \n\n", ": the file is empty"),
        ("\ufeff", ": the file is empty"),
        ("a,b\n1\n", " row 2: 1 fields, but the header has 2"),
        ("a,b\n1,2\n\n1,2,3\n", " row 4: 3 fields, but the header has 2"),
        ('a,b\n"x\ny",2\n1,2,3\n', " row 4: 3 fields, but the header has 2"),
        ("a,b,a\n", " row 1: 2 columns are named a"),
        ("a, a ,a\n", " row 1: 3 columns are named a"),
        (b"a,b\n1,2\n3,\xe9\n", " row 3: not UTF-8 text"),
        (b"\xef\xbb\xbfa,b\n1,\xff\n", " row 2: not UTF-8 text"),
        (b"a,\xe9\n", " row 1: not UTF-8 text"),
        ("a,b\n".encode("utf-16"), " row 1: not UTF-8 text"),
        ("a,b\n1,2\n1,\0\n", " row 3: a zero byte: this is not a text file"),
        ("\0a,b\n", " row 1: a zero byte: this is not a text file"),
        ('a,b\n1,2\n"3,4\n5,6\n', " row 3: not valid CSV: unexpected end of data"),
        ('a,b\n"x"y,2\n', " row 2: not valid CSV: ',' expected after '\"'"),
        (
            f"a,b\n{131_073 * 'x'},2\n",
            " row 2: not valid CSV: field larger than field limit (131072)",
        ),
        (131_073 * "x", " row 1: not valid CSV: field larger than field limit (131072)"),
    ],
)
def test_files_that_are_refused(name, content, message):
    expect_fault(name + message, content, name)


def test_columns_without_a_name_may_be_several():
    assert rows_of(",a,\n1,2,3\n") == (("", "a", ""), [("t.csv row 2", ["1", "2", "3"])])


def test_rows_may_lack_the_last_columns_if_these_have_no_name():
    """A comma at the end of the header alone, as some programs write it."""
    _, rows = rows_of("a,b,,\n1,2\n3,4,\n5,6,7,8\n")
    assert [fields for _, fields in rows] == [
        ["1", "2", "", ""], ["3", "4", "", ""], ["5", "6", "7", "8"],
    ]  # fmt: skip
    expect_fault("t.csv row 3: 1 fields, but the header has 3", "a,b,\n1,2\n3\n")
    expect_fault("t.csv row 2: 1 fields, but the header has 3", "a,,b\n1\n")


def test_file_that_is_not_there(folder):
    with pytest.raises(BadData) as caught:
        Table("none.csv")
    assert str(caught.value) == "none.csv: cannot be read: No such file or directory"
    (folder / "sub.gz").mkdir()
    with pytest.raises(BadData) as caught:
        Table("sub.gz")
    assert str(caught.value) == "sub.gz: cannot be read: Is a directory"


@pytest.mark.parametrize("kept", [15, 1000, -9, -1])
def test_gzip_that_is_cut_short(folder, kept):
    lines = "a,b\n" + "".join(f"{i},{i * 7919 % 9973}\n" for i in range(5000))
    whole = gzip.compress(lines.encode())
    (folder / "t.csv.gz").write_bytes(whole[:kept])
    with pytest.raises(BadData) as caught:
        list(Table("t.csv.gz"))
    assert str(caught.value) == "t.csv.gz: cannot be read: damaged, cut short or not gzipped"


def test_gzip_that_is_none(folder):
    (folder / "t.csv.gz").write_bytes(b"a,b\n1,2\n")
    with pytest.raises(BadData) as caught:
        Table("t.csv.gz")
    assert str(caught.value) == "t.csv.gz: cannot be read: damaged, cut short or not gzipped"


def test_gzip_with_a_damaged_middle(folder):
    lines = "a,b\n" + "".join(f"{i},{i * 7919 % 9973}\n" for i in range(5000))
    content = bytearray(gzip.compress(lines.encode()))
    content[len(content) // 2] ^= 255
    (folder / "t.csv.gz").write_bytes(content)
    with pytest.raises(BadData) as caught:
        list(Table("t.csv.gz"))
    assert str(caught.value) == "t.csv.gz: cannot be read: damaged, cut short or not gzipped"


# ---------------------------------------------------------------- columns


def test_position_of_a_column():
    table = Table(write("Image Index,Finding Labels,,age\n"))
    assert table.column("Image Index") == 0
    assert table.column("finding labels") == 1
    assert table.column("labels", "Finding Labels", "age") == 1  # the first alias that is there
    assert table.column("sex", needed=False) is None
    assert table.listed() == "Image Index, Finding Labels, age"


def test_column_that_is_not_there():
    table = Table(write("image,patient,,age\n"))
    with pytest.raises(BadData) as caught:
        table.column("patients", "subject")
    assert str(caught.value) == (
        "t.csv row 1: no column patients; it has image, patient, age; did you mean patient?"
    )
    with pytest.raises(BadData) as caught:
        table.column("view")
    assert str(caught.value) == "t.csv row 1: no column view; it has image, patient, age"


def test_names_for_a_message():
    assert one_of("Edma", ("Mass", "Edema")) == "Mass, Edema; did you mean Edema?"
    assert one_of("x", ()) == "none"


# ---------------------------------------------------------------- finding the file


def test_table_of_a_folder(folder):
    for name in ("b.csv", "A.CSV", "data_v2.csv.gz", "data_v1.csv"):
        write("a\n1\n", name)
    assert find_table(".", "a.csv") == "./A.CSV"
    assert find_table("./", "none.csv", "b.csv") == "./b.csv"
    assert find_table(".", "data_*.csv") == "./data_v1.csv"  # plain before gzipped
    assert find_table(".", "data_v2.csv") == "./data_v2.csv.gz"
    assert find_table_or_none(".", "a", "dataXv1.csv", "csv") is None
    with pytest.raises(BadData) as caught:
        find_table(".", "train.csv", "other.csv")
    assert str(caught.value) == "--manual_dir=.: no train.csv in it"
    with pytest.raises(BadData) as caught:
        find_table(".", "train.csv", instructions="fetch it")
    assert str(caught.value) == "--manual_dir=.: no train.csv in it; fetch it"


def test_folder_that_is_none():
    with pytest.raises(BadData) as caught:
        find_table_or_none("nowhere", "t.csv")
    assert str(caught.value) == ("--manual_dir=nowhere: cannot be read: No such file or directory")


def test_folder_and_table_of_a_set(folder):
    (folder / "set/images").mkdir(parents=True)
    write("a\n1\n", "set/t.csv")
    found, table = own_table(".", ("t.csv",), "fetch it")
    assert (found, table.path, table.header) == ("./set", "./set/t.csv", ("a",))
    assert own_table("set", ("t.csv",), "")[0] == "set"
    assert names_in("set") == ["images", "t.csv"]
    with pytest.raises(BadData) as caught:
        own_table(".", ("t.csv",), "fetch it", ("other*",))
    assert str(caught.value) == "--manual_dir=.: no t.csv in it; fetch it"


# ---------------------------------------------------------------- what rows say


def test_columns_that_may_be_missing(folder):
    table = Table(write("image,Sex\na,F\nb,\n"))
    sex, age = table.optional("Gender", "sex"), table.optional("age")
    assert [(sex(fields), age(fields)) for _, fields in table] == [("F", ""), ("", "")]


def test_attributes_are_what_is_stated_once_in_memory():
    found = attributes_of(sex="F", age="")
    assert found == {"sex": "F"}
    assert attributes_of(sex="F", age="") is found


def test_what_is_counted_is_noted_where_there_is_any():
    assert counted({"left out": 0, "kept": 1234, "turned": 1}) == ["kept: 1,234", "turned: 1"]
    assert counted({"a": 1, "b": 2, "c": 0}, "image") == ["a: 1 image", "b: 2 images"]
