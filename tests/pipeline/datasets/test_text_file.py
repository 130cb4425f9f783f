"""Lists in the encodings in which spreadsheets save them."""

from __future__ import annotations

from pathlib import Path

import pytest

from star.errors import DatasetError
from star.pipeline.datasets.custom.csv_list import read_csv

TEXT = "video;label;split\ncafé.mp4;thé;train\nb.mp4;bow;test\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_csv_is_read_in_utf_8_and_utf_16(tmp_path: Path, encoding: str) -> None:
    """With a mark or without."""
    path = tmp_path / "list.csv"
    path.write_bytes(TEXT.encode(encoding))
    assert [(entry.video, entry.label, entry.split) for entry in read_csv(path)] == [
        ("café.mp4", "thé", "train"), ("b.mp4", "bow", "test"),
    ]  # fmt: skip


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_another_encoding_is_named(tmp_path: Path, encoding: str) -> None:
    """With the word that tells, and what to do."""
    path = tmp_path / "list.csv"
    path.write_bytes(TEXT.encode(encoding))
    with pytest.raises(DatasetError) as error:
        read_csv(path)
    assert "not UTF-8 (byte 21); it may be Latin-1 or Windows-1252 ('" in str(error.value)
    assert "café" in str(error.value)
    assert str(error.value).endswith("save the list as CSV UTF-8")
