"""Files appear whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from dep.engine import PicksError
from dep.engine.atomic import atomic_text


def test_a_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "deep" / "er" / "a.txt"
    with atomic_text(path) as stream:
        stream.write("hé\n")
        assert not path.exists()
    assert path.read_bytes() == b"h\xc3\xa9\n"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_what_was_there_survives_a_failure(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("before")

    def fail():
        with atomic_text(path) as stream:
            stream.write("half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="open files cannot be replaced there")
def test_who_reads_the_old_file_reads_it_to_its_end(tmp_path):
    # The name moves to a new file; writing into the old one would mix the two.
    path = tmp_path / "a.txt"
    path.write_text("before")
    old = path.stat().st_ino
    with path.open() as reader:
        with atomic_text(path) as stream:
            stream.write("after")
        assert reader.read() == "before"
    assert path.read_text() == "after"
    assert path.stat().st_ino != old


def test_a_file_that_cannot_take_its_name_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("before")

    def fail(*_arguments):
        raise OSError(13, "Permission denied")

    for name in ("replace", "rename"):
        monkeypatch.setattr(os, name, fail)
    with (
        pytest.raises(PicksError, match=r"a\.txt: cannot be written"),
        atomic_text(path) as stream,
    ):
        stream.write("after")
    monkeypatch.undo()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_stop_as_soon_as_the_file_exists_leaves_nothing(tmp_path, monkeypatch):
    whole = Path.open

    def stop(self, *args, **kwargs):
        whole(self, *args, **kwargs).close()
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "open", stop)
    with pytest.raises(KeyboardInterrupt), atomic_text(tmp_path / "a.txt"):
        pass
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with (
        pytest.raises(PicksError, match=r"a\.txt: cannot be written \(No space left"),
        atomic_text(tmp_path / "a.txt") as stream,
    ):
        stream.write("x")
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    for path, words in (
        (tmp_path, "is a directory"),
        (tmp_path / "file" / "a.txt", "cannot be written"),
    ):
        with pytest.raises(PicksError, match=words), atomic_text(path):
            pass


def test_files_have_the_rights_of_other_files(tmp_path):
    (tmp_path / "other").touch()
    with atomic_text(tmp_path / "a.txt") as stream:
        stream.write("x")
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "other").stat().st_mode
    assert stat.S_ISREG(os.lstat(tmp_path / "a.txt").st_mode)
