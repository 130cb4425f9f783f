"""The CSV of videos as people and spreadsheets write it."""

from __future__ import annotations

import pytest

from star.errors import DatasetError
from star.pipeline.datasets.custom.csv_list import parse_csv, read_csv


@pytest.fixture
def rows(tmp_path):
    """A function: the text (or bytes) of a CSV -> its entries."""

    def read(text):
        path = tmp_path / "list.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_csv(path)

    return read


@pytest.fixture
def refused(rows):
    """A function: the text of a CSV -> the message with which it is refused."""

    def read(text):
        with pytest.raises(DatasetError) as error:
            rows(text)
        return str(error.value)

    return read


def test_the_plain_form(rows):
    """video,label,split: what the documentation shows; where() names the row for messages."""
    first, second = rows("video,label,split\nclips/a.mp4,wave,train\nclips/b.mp4,bow,test\n")
    assert first == ("clips/a.mp4", "wave", "train", (), "list.csv, row 2", "", None, ())
    assert second == ("clips/b.mp4", "bow", "test", (), "list.csv, row 3", "", None, ())


def test_the_split_is_optional_and_further_columns_are_groups(rows):
    """Columns in any order and any case; empty values make no group."""
    (first, second) = rows("Label,Video,Camera,city\nwave,a.mp4,2,Rome\nbow,b.mp4,,\n")
    assert first[:4] == ("a.mp4", "wave", "", (("camera", "2"), ("city", "Rome")))
    assert second[:4] == ("b.mp4", "bow", "", ())


def test_quotes_marks_line_ends_and_spaces_of_all_kinds(rows):
    """A byte order mark, CRLF, quoted commas and quotes, spaces around values, empty lines, no newline at the end."""
    text = b'\xef\xbb\xbfvideo , label\r\n"a, b/c ""d"".mp4", wave \r\n\r\n  x.mp4,"bow"'
    assert [entry[:2] for entry in rows(text)] == [('a, b/c "d".mp4', "wave"), ("x.mp4", "bow")]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators(rows, separator):
    """Spreadsheets of some countries write semicolons; tabs work as well."""
    text = "video,label,split\nq/a.mp4,wave,test\n".replace(",", separator)
    assert rows(text)[0][:3] == ("q/a.mp4", "wave", "test")


@pytest.mark.parametrize("spelling", ["./clips//a.mp4", "clips\\a.mp4", "clips/./a.mp4"])
def test_a_path_has_one_spelling(rows, spelling):
    """The id is the same however the path was written, so that it is found again in the cache."""
    assert rows(f"video,label\n{spelling},wave\n")[0].video == "clips/a.mp4"


def test_paths_that_lead_elsewhere_are_refused(refused):
    """Absolute paths, home folders, drives and '..' would make ids that differ from machine to machine."""
    head = "video,label\n"
    elsewhere = "is an absolute path; give it relative to dataset.root"
    for path in ("/data/a.mp4", "~/a.mp4", "C:\\a.mp4", "\\\\server\\a.mp4"):
        assert refused(f"{head}b.mp4,bow\n{path},wave\n") == f"list.csv, row 3: {path} {elsewhere}"
    for path in ("../a.mp4", "clips/../../a.mp4", "clips/.."):
        expected = f"list.csv, row 2: {path} climbs out with '..'; give a path below dataset.root"
        assert refused(f"{head}{path},wave\n") == expected
    assert refused(f"{head}a\0b.mp4,wave\n").startswith("list.csv, row 2: ")
    assert refused(f"{head}.,wave\n") == "list.csv, row 2: '.' is not the path of a video"


def test_an_absolute_path_below_the_root_is_taken_as_one_below_it(tmp_path):
    text = f"video,label\n{tmp_path}/clips/a.mp4,wave\n"
    assert parse_csv(tmp_path / "list.csv", text, tmp_path)[0].video == "clips/a.mp4"


def test_rows_that_lack_something_are_refused(refused):
    """No video, no label, a split that is none, a row that is longer than the header."""
    assert refused("video,label\n,wave\n") == "list.csv, row 2: no video"
    assert refused("label,video\nwave\n") == "list.csv, row 2: no video"
    assert refused("video,label\na.mp4,\n") == "list.csv, row 2: a.mp4 has no label"
    expected = "list.csv, row 2: split 'dev' is neither 'train' nor 'test' (nor 'val')"
    assert refused("video,label,split\na.mp4,wave,dev\n") == expected
    expected = "list.csv, row 2: 3 values for 2 columns; quote a value that has a comma"
    assert refused("video,label\na.mp4,wave,hand\n") == expected


def test_a_video_listed_twice_is_refused(refused):
    """Even when it is spelled differently."""
    text = "video,label\nb.mp4,bow\na.mp4,wave\n./b.mp4,wave\n"
    more = "; several labels stand in one row, with ';' between them"
    assert refused(text) == f"list.csv, row 4: b.mp4 stands in row 2 already{more}"


def test_lists_that_are_none_are_refused(refused, tmp_path):
    """Empty, without header, with two columns of one name, not text, or broken quotes."""
    path = tmp_path / "list.csv"
    expected = "in its first row '{}'; expected video,label,split"
    assert refused("") == f"{path}: no column 'video' {expected.format('')}"
    assert refused("a.mp4,wave\n") == f"{path}: no column 'video' {expected.format('a.mp4,wave')}"
    assert refused("video,class\na.mp4,wave\n") == f"{path}: no column 'label' {expected.format('video,class')}"
    assert refused("video,label\n\n") == f"{path}: the list is empty; add one row per video"
    assert refused("video,label,label\n") == f"{path}: two columns are called 'label'"
    assert refused(b"video,label\nM\xfcller.mp4,wave\n") == (
        f"{path}: not UTF-8 (byte 13); it may be Latin-1 or Windows-1252 ('Müller.mp4,wa'): save the list as CSV UTF-8"
    )
    assert refused("video,label\n" + "x" * 200_000 + ",wave\n") == (
        "list.csv, row 2: field larger than field limit (131072); check the quotes"
    )
