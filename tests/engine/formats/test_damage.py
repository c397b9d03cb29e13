"""Damaged and any other files: read, or refused with a message, whatever was done."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dep.engine import ClassInfo, Picks, PicksError
from dep.engine.formats import FORMATS, Conventions, Holds, read_table, write_picks
from dep.engine.formats.frame import Frame

FORMS = tuple(FORMATS)
HOW = Conventions(pixel_size=2.5, box=8)  # what some cannot be written without
CLASSES = (ClassInfo("a", 60.0), ClassInfo("b", 0.0))
FRAME = Frame((20, 30, 40), 10.0)
# What breaks parsers of text: signs, quotes, brackets, large numbers, odd letters.
TOKENS = [
    b"", b"-", b".", b"e999", b"nan", b"inf", b"0" * 400, b'"', b"'", b"<", b">", b"&",
    b"&#0;", b"&#x110000;", b"<!DOCTYPE a>", b"<![CDATA[", b"{", b"}", b"[", b"]", b",",
    b":", b"null", b"true", b"\\ud800", b"\\u0000", b"\0", b"\xff\xfe", b"\n", b"\t",
    b" ", b"\xef\xbb\xbf", b"1_0", b"\xd9\xa3",
]  # fmt: skip


def files_of(folder: Path, form: str) -> tuple[Path, list[Path]]:
    picks = Picks(
        xyz=[[1, 2, 3], [10.5, 20.25, 5], [0, 0, 0]],
        class_id=[1, 2, 1],
        score=[0.9, 0.5, 0.1],
        classes=CLASSES,
        tomogram="TS_01",
        shape=FRAME.shape,
        voxel_size=FRAME.voxel_size,
    )
    path = FORMATS[form].target_of(folder, "TS_01")
    write_picks([picks], path, form, HOW)
    return path, sorted(one for one in folder.rglob("*") if one.is_file())


def outcome(path: Path, form: str) -> str:
    """Read: a table in voxels or a message that names the file; nothing else."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            table = read_table(path, form, FRAME)
            table.picks(path, None, None)
        except PicksError as error:
            return str(error)
    assert np.isfinite(table.xyz).all()
    return ""


@pytest.mark.parametrize("form", FORMS)
def test_mutations(tmp_path, form):
    path, files = files_of(tmp_path, form)
    assert outcome(path, form) == ""
    rng = np.random.default_rng(11)
    refused = 0
    for _ in range(100):
        file = files[rng.integers(len(files))]
        whole = file.read_bytes()
        data = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            at, length = rng.integers(len(data) + 1), rng.integers(0, 6)
            if rng.random() < 0.6:
                data[at : at + length] = TOKENS[rng.integers(len(TOKENS))]
            else:
                data[at : at + length] = rng.bytes(int(length))
        if rng.random() < 0.1:
            del data[rng.integers(len(data) + 1) :]
        file.write_bytes(data)
        message = outcome(path, form)
        if message:
            refused += 1
            assert str(tmp_path) in message
        file.write_bytes(whole)
    assert refused > 10


@pytest.mark.parametrize("form", FORMS)
@given(data=st.binary(max_size=200) | st.text(max_size=80).map(lambda t: t.encode()))
@settings(max_examples=10)
def test_any_bytes(tmp_path_factory, form, data):
    path = tmp_path_factory.mktemp("any") / "TS_01.ndjson"
    path.write_bytes(data)
    outcome(path, form)


@pytest.mark.parametrize("form", FORMS)
def test_missing_files_and_folders_in_their_place(tmp_path, form):
    assert "no such file" in outcome(tmp_path / "none", form)
    (tmp_path / "folder").mkdir()
    assert str(tmp_path) in outcome(tmp_path / "folder", form)


@pytest.mark.parametrize("form", FORMS)
@given(
    xyz=st.lists(
        st.tuples(*[st.floats(-(2.0**20), 2.0**20, width=32)] * 3), max_size=3
    ),
    voxel_size=st.floats(0.5, 60).map(lambda size: round(size, 3)),
)
@settings(max_examples=10)
def test_any_coordinate_survives(tmp_path_factory, form, xyz, voxel_size):
    """To the precision written: thousandths of a voxel, pixel or ångström."""
    picks = Picks(
        xyz=np.array(xyz, np.float32).reshape(-1, 3),
        class_id=[1 + k % 2 for k in range(len(xyz))],
        score=np.ones(len(xyz)),
        classes=CLASSES,
        tomogram="TS_01",
        shape=FRAME.shape,
        voxel_size=voxel_size,
    )
    path = FORMATS[form].target_of(tmp_path_factory.mktemp("any"), "TS_01")
    how = Conventions(pixel_size=voxel_size / 4, box=8)
    write_picks([picks], path, form, how)
    found = read_table(path, form, Frame(FRAME.shape, voxel_size))
    wanted = picks.xyz
    if Holds.CLASS in FORMATS[form].holds:
        wanted = np.concatenate([picks.xyz[picks.class_id == k] for k in (1, 2)])
    rows = found.only(sorted(range(len(xyz)), key=lambda row: found.label[row]))
    # float32, of the picks themselves and of IMOD's file, is what is left.
    precision = 6e-4 * max(1, 1 / voxel_size) + np.abs(wanted) * 2**-23
    assert (np.abs(rows.xyz - wanted) <= precision).all()
