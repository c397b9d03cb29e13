"""Files that may not be read and names that are no text end nothing but themselves."""

import errno
import io
import json
import os
from pathlib import Path

import pytest


@pytest.fixture
def pick(dep, tiny_model, tmp_path):
    """Run `dep pick WORDS... --engine BALLS -o OUT`."""

    def run(*words, out=None):
        folder = out or tmp_path / "out"
        return dep("pick", *words, "--engine", tiny_model, "-o", folder)

    return run


@pytest.fixture
def forbid(monkeypatch):
    """Take a file or a folder's content away; the tests may run as root."""

    def forbid(path):
        access = os.access

        def denied(what):
            # A folder itself can still be looked at from outside.
            known = isinstance(what, str | os.PathLike)
            return known and (path in Path(what).parents or Path(what) == path)

        def refusing(call, *, outside):
            def refuse(what, *args, **kwargs):
                if denied(what) and not (outside and Path(what) == path):
                    words = os.strerror(errno.EACCES)
                    raise PermissionError(errno.EACCES, words, os.fspath(what))
                return call(what, *args, **kwargs)

            return refuse

        monkeypatch.setattr(
            os, "access", lambda p, *a, **k: not denied(p) and access(p, *a, **k)
        )
        for owner, name in ((io, "open"), (os, "listdir"), (os, "scandir")):
            call = getattr(owner, name)
            monkeypatch.setattr(owner, name, refusing(call, outside=False))
        monkeypatch.setattr(os, "stat", refusing(os.stat, outside=True))

    return forbid


def states(folder):
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return {name: entry["status"] for name, entry in run["tomograms"].items()}


class TestForbidden:
    """What may not be read is reported, and the others are picked."""

    def test_an_unreadable_tomogram(self, pick, tomogram, forbid, tmp_path):
        (tmp_path / "secret.mrc").write_bytes(tomogram.read_bytes())
        forbid(tmp_path / "secret.mrc")
        outcome = pick(tmp_path / "secret.mrc", tomogram)
        assert outcome.status == 1, outcome.err
        assert "secret.mrc" in outcome.err
        assert states(tmp_path / "out") == {"secret": "failed", "TS_01": "picked"}

    def test_a_tomogram_in_a_closed_folder(self, pick, tomogram, forbid, tmp_path):
        (tmp_path / "closed").mkdir()
        (tmp_path / "closed" / "a.mrc").write_bytes(tomogram.read_bytes())
        forbid(tmp_path / "closed")
        outcome = pick(tmp_path / "closed" / "a.mrc", tomogram)
        assert outcome.status == 1, outcome.err
        assert "closed/a.mrc" in outcome.err
        assert states(tmp_path / "out") == {"a": "failed", "TS_01": "picked"}

    def test_a_closed_folder_of_tomograms(self, pick, tomogram, forbid, tmp_path):
        (tmp_path / "closed").mkdir()
        forbid(tmp_path / "closed")
        outcome = pick(tmp_path / "closed", tomogram)
        assert outcome.status == 2
        assert f"{tmp_path / 'closed'}: this folder cannot be read" in outcome.err

    @pytest.mark.parametrize("out", ["closed", "closed/out"])
    def test_a_closed_folder_for_the_outputs(
        self, pick, tomogram, forbid, tmp_path, out
    ):
        (tmp_path / "closed").mkdir()
        forbid(tmp_path / "closed")
        outcome = pick(tomogram, out=tmp_path / out)
        assert outcome.status == 2
        assert str(tmp_path / out) in outcome.err

    def test_a_link_to_itself(self, pick, tomogram, tmp_path):
        (tmp_path / "loop.mrc").symlink_to(tmp_path / "loop.mrc")
        outcome = pick(tmp_path / "loop.mrc", tomogram)
        assert outcome.status == 1, outcome.err
        assert states(tmp_path / "out") == {"loop": "failed", "TS_01": "picked"}

    @pytest.mark.parametrize(
        "words",
        [
            ("info", "F"),
            ("evaluate", "F", "F"),
            ("evaluate", "F", "F", "--model", "F"),
            ("train", "F"),
            ("export", "F", "-o", "F.onnx"),
        ],
    )
    def test_the_commands_say_so_themselves(self, dep, forbid, tmp_path, words):
        path = tmp_path / "F"
        path.write_text("x")
        forbid(path)
        outcome = dep(*(word.replace("F", str(path)) for word in words))
        assert outcome.status in (1, 2)
        assert outcome.err.startswith(f"dep: {path}")


def test_tilt_series_beside_their_tomograms_are_left_out_of_a_folder(
    pick, make_tomogram, tmp_path, caplog
):
    for name in ("TS_01.rec", "TS_01.st", "TS_02.st"):
        make_tomogram(tmp_path / name)
    outcome = pick(tmp_path)
    assert outcome.status == 0, outcome.err
    assert states(tmp_path / "out") == {"TS_01": "picked", "TS_02": "picked"}
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["tomograms"]["TS_01"]["tomogram"].endswith("TS_01.rec")
    assert "TS_01.st skipped" in caplog.text
    # Named by themselves they are what was asked for.
    outcome = pick(tmp_path / "TS_01.rec", tmp_path / "TS_01.st", out=tmp_path / "b")
    assert outcome.status == 2
    assert pick(tmp_path / "TS_01.st", out=tmp_path / "b").status == 0


@pytest.fixture
def latin(tomogram, tmp_path):
    """A tomogram whose name is Latin-1."""
    path = tmp_path / os.fsdecode(b"caf\xe9.mrc")
    try:
        path.write_bytes(tomogram.read_bytes())
    except OSError as error:
        pytest.skip(f"names on this file system must be UTF-8 ({error})")
    return path


class TestNoText:
    """A name that is not UTF-8 is said in escapes, and the others are picked."""

    @pytest.mark.usefixtures("latin")
    def test_it_fails_alone(self, dep_process, tiny_model, tmp_path):
        out = tmp_path / "out"
        words = ("pick", tmp_path, "--engine", tiny_model, "-o", out, "--picture")
        process = dep_process(*words, PYTHONIOENCODING="utf-8:strict")
        said, complaints = process.communicate(timeout=60)
        assert process.returncode == 1, complaints
        assert "caf\\udce9" in said
        assert "1 of 2 tomograms picked" in said
        events = [json.loads(line) for line in complaints.splitlines()]
        failed = next(event for event in events if event["event"] == "failed")
        assert "not UTF-8 text; rename it" in failed["error"]
        assert states(out) == {"caf\udce9": "failed", "TS_01": "picked"}
        assert (out / "TS_01.star").exists()

    def test_a_folder_may_have_such_a_name(self, pick, latin, tomogram):
        folder = latin.parent / os.fsdecode(b"\xe9t\xe9")
        assert pick(tomogram, out=folder).status == 0
        assert states(folder) == {"TS_01": "picked"}
        assert pick(tomogram, "--resume", out=folder).status == 0

    def test_json_keeps_it(self, dep, latin):
        assert dep("info", latin, "--json").json["file"] == str(latin)


@pytest.mark.parametrize("words", [("--help",), ("pick", "--help"), ("info", "T")])
def test_a_terminal_that_knows_only_ascii(dep_process, tomogram, words):
    ascii_only = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    words = [str(tomogram) if word == "T" else word for word in words]
    process = dep_process(*words, **ascii_only, PYTHONIOENCODING="ascii:strict")
    said, complaints = process.communicate(timeout=60)
    assert (process.returncode, complaints) == (0, "")
    assert "\\xc5" in said or words == ["--help"]


def test_json_in_an_encoding_that_lacks_letters_is_json():
    from dep.cli.wording import to_json

    document = {"é": ["10 Å", "caf\udce9"]}
    for encoding in ("utf-8", "ascii", "latin-1"):
        text = to_json(document, encoding=encoding)
        assert json.loads(text.encode(encoding).decode(encoding)) == document
    assert to_json({"size": "10 Å"}, encoding="utf-8") == '{"size": "10 Å"}'
