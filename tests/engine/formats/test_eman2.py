"""EMAN2 info files: boxes, classes, and what else such a file holds."""

import json

import numpy as np
import pytest

from dep.engine import ClassInfo, Picks, PicksError
from dep.engine.formats import (
    Conventions,
    write_picks,
)

CLASSES = (
    ClassInfo("1bxn", 122.0),
    ClassInfo("big_one", 216.5),
    ClassInfo("rare", 0.0),
)


class TestEman2:
    def test_boxes_count_from_the_middle_in_unbinned_pixels(self, tmp_path, picks_of):
        """As e2spt_boxer.py reads them: ``b * apix_unbin / apix + size // 2``."""
        path = tmp_path / "TS_01_info.json"
        write_picks([picks_of()], path, how=Conventions(pixel_size=2.5))
        info = json.loads(path.read_text())
        assert info["apix_unbin"] == 2.5
        boxes = info["boxes_3d"]
        back = np.array([box[:3] for box in boxes]) * 2.5 / 10 + [50, 50, 25]
        np.testing.assert_allclose(back, picks_of().xyz)
        assert [box[3:] for box in boxes] == [
            ["dep", 0.875, 0],
            ["dep", 0.5, 1],
            ["dep", 0.25, 0],
        ]
        # 1.5 times the diameter in unbinned pixels, even; a usual size if unknown.
        assert info["class_list"] == {
            "0": {"name": "1bxn", "boxsize": 74},
            "1": {"name": "big_one", "boxsize": 130},
            "2": {"name": "rare", "boxsize": 64},
        }

    def test_it_comes_back(self, tmp_path, picks_of):
        path = picks_of().write(tmp_path / "TS_01_info.json")
        found = Picks.read(path)
        np.testing.assert_allclose(found.xyz, picks_of().xyz, atol=1e-3)
        assert (found.shape, found.voxel_size) == ((50, 101, 100), 10.0)
        np.testing.assert_array_equal(found.score, picks_of().score)
        assert found.class_names == ["1bxn", "big_one", "1bxn"]
        assert [one.name for one in found.classes] == [one.name for one in CLASSES]
        assert found.tomogram == "TS_01"

    def test_its_size_is_of_no_use_at_another_voxel_size(self, tmp_path, picks_of):
        path = picks_of().write(tmp_path / "TS_01_info.json")
        found = Picks.read(path, shape=(100, 202, 200), voxel_size=5.0)
        # Middles, 50 of 101 voxels and 101 of 202, are not quite the same place.
        np.testing.assert_allclose(found.xyz, picks_of().xyz * 2 + [0, 1, 0], atol=2e-3)
        with pytest.raises(PicksError, match="from the tomogram's centre"):
            Picks.read(path, voxel_size=5.0)

    def test_a_file_of_eman2_s_own_needs_the_tomogram_s_size(self, tmp_path):
        path = tmp_path / "TS_01_info.json"
        path.write_text('{"apix_unbin": 5.0, "boxes_3d": [[2, 4, -6, "manual", 0, 0]]}')
        found = Picks.read(path, shape=(51, 101, 100), voxel_size=10.0)
        np.testing.assert_array_equal(found.xyz, [[51, 52, 22]])
        with pytest.raises(PicksError, match="from the tomogram's centre"):
            Picks.read(path)

    def test_an_info_file_that_is_there_keeps_what_else_it_holds(
        self, tmp_path, picks_of
    ):
        path = tmp_path / "TS_01_info.json"
        path.write_text(
            json.dumps(
                {
                    "apix_unbin": 2.0,
                    "tlt_params": [[1.5, 2.5, -85.0]],
                    "class_list": {
                        "0": {"name": "big_one", "boxsize": 8},
                        "1": {"name": "membrane", "boxsize": 32},
                    },
                    "boxes_3d": [[1, 2, 3, "manual", 0.0, 1], [0, 0, 0, "tm", 1, 0]],
                }
            )
        )
        for _ in range(2):  # a second run replaces what the first one wrote
            picks_of().write(path)
        info = json.loads(path.read_text())
        assert info["tlt_params"] == [[1.5, 2.5, -85.0]]
        assert info["apix_unbin"] == 2.0
        assert info["class_list"]["1"] == {"name": "membrane", "boxsize": 32}
        assert [info["class_list"][key]["name"] for key in ("0", "2", "3")] == [
            "1bxn",
            "big_one",
            "rare",
        ]
        assert info["boxes_3d"][0] == [1, 2, 3, "manual", 0.0, 1]
        assert [box[5] for box in info["boxes_3d"]] == [1, 0, 2, 0]
        found = Picks.read(path, shape=(50, 101, 100), voxel_size=10.0)
        np.testing.assert_allclose(found.xyz[0], picks_of().xyz[0], atol=1e-3)

    def test_a_file_that_is_there_and_no_info_file_is_left_alone(
        self, tmp_path, picks_of
    ):
        path = tmp_path / "TS_01_info.json"
        path.write_text("notes")
        with pytest.raises(PicksError, match="not JSON"):
            picks_of().write(path)
        assert path.read_text() == "notes"

    def test_files_of_before_2018_count_voxels_from_the_first(self, tmp_path):
        (tmp_path / "a_info.json").write_text('{"boxes_3d": [[4, 5, 6]]}')
        found = Picks.read(tmp_path / "a_info.json")
        np.testing.assert_array_equal(found.xyz, [[4, 5, 6]])
        assert found.class_names == ["particles_00"]

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "line 1: not JSON"),
            ("[]", r"expected an object \(\{...\}\), found a list of 0"),
            ('{"boxes_3d": 3}', r"boxes_3d: expected a list \(\[...\]\), found 3"),
            ('{"boxes_3d": [[1, 2]]}', r"boxes_3d\[0\]: expected x, y and z"),
            ('{"boxes_3d": [[1, 2, "z"]]}', r'boxes_3d\[0\]: expected a number.*"z"'),
            ('{"boxes_3d": [[1, 2, NaN]]}', r"boxes_3d\[0\]: expected a number"),
            ('{"boxes_3d": [[1, 2, true]]}', r"boxes_3d\[0\]: expected a number"),
            (f'{{"boxes_3d": [[1, 2, 1{"0" * 400}]]}}', "of at most"),
            (f'{{"boxes_3d": [[1, 2, 1{"0" * 5000}]]}}', "not JSON of coordinates"),
            ('{"boxes_3d": [[1, 2, 3, "m", null]]}', "score: expected a number"),
            ('{"boxes_3d": [[1, 2, 3, "m", 0, 0.5]]}', "class: expected a whole"),
            ('{"boxes_3d": [[1, 2, 3, "m", 0, -1]]}', "class: expected a whole"),
            ("{}", "no boxes_3d"),
            (
                '{"boxes_3d": [], "class_list": {"a": {"name": "b"}}}',
                "expected the number of a class",
            ),
            (
                '{"boxes_3d": [], "class_list": {"0": {}}}',
                "name: expected a name, found nothing",
            ),
            (
                '{"boxes_3d": [], "class_list": {"0": "\\ud800"}}',
                "name: expected a name",
            ),
            (
                '{"boxes_3d": [], "apix_unbin": 0}',
                "apix_unbin: expected ångström above 0",
            ),
            (
                '{"boxes_3d": [], "apix_unbin": "wide"}',
                'apix_unbin: expected a number, found "wide"',
            ),
            (
                '{"boxes_3d": [], "dep_tomogram": {"size": [1, 2], "voxel_size": 1}}',
                "whole voxels",
            ),
            (
                '{"boxes_3d": [], "dep_tomogram": {"size": [1, 2, 3]}}',
                "voxel_size: expected a number",
            ),
            ("[" * 100_000, "not JSON"),
        ],
    )
    def test_malformed(self, tmp_path, text, words):
        (tmp_path / "a_info.json").write_text(text)
        with pytest.raises(PicksError, match=rf"a_info\.json: .*{words}"):
            Picks.read(tmp_path / "a_info.json", shape=(9, 9, 9), voxel_size=1.0)
