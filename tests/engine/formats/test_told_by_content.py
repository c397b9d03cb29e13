"""JSON files are told by what they hold."""

import numpy as np

from dep.engine import ClassInfo, Picks
from dep.engine.formats import (
    may_hold_coordinates,
)

CLASSES = (
    ClassInfo("1bxn", 122.0),
    ClassInfo("big_one", 216.5),
    ClassInfo("rare", 0.0),
)


def test_other_json_and_xml_files_hold_no_coordinates(tmp_path):
    files = {
        "run.json": '{"run_version": 1}',
        "acquisition.xml": "<MicroscopeImage/>",
        "picks.json": '{"pickable_object_name": "a"}',
        "TS_01_info.json": '{"boxes_3d": []}',
        "TS_01.xml": "<objlist/>",
        "TS_01.csv": "",
        "notes.txt": "",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert [name for name in files if may_hold_coordinates(tmp_path / name)] == [
        "picks.json",
        "TS_01_info.json",
        "TS_01.xml",
        "TS_01.csv",
    ]


def test_json_files_are_told_by_what_they_hold(tmp_path):
    for name, text in (
        ("boxes.json", '{"boxes_3d": [[1, 2, 3]]}'),
        (
            "points.json",
            '{"pickable_object_name": "a", "points": [{"location": {"x": 10, "y": 20, '
            '"z": 30}}]}',
        ),
    ):
        (tmp_path / name).write_text(text)
        found = Picks.read(tmp_path / name, voxel_size=10.0)
        np.testing.assert_array_equal(found.xyz, [[1, 2, 3]])
