"""EMAN2's info files, copick projects and annotations of the CryoET Data Portal."""

import json
import shutil
import warnings

import numpy as np
import pytest

from dep.engine import ClassInfo, Picks, PicksError
from dep.engine.formats import (
    Conventions,
    LossWarning,
    may_hold_coordinates,
    write_picks,
)

CLASSES = (
    ClassInfo("1bxn", 122.0),
    ClassInfo("big_one", 216.5),
    ClassInfo("rare", 0.0),
)


def picks_of(**changes):
    return Picks(
        **{
            "xyz": [[0, 0, 0], [99, 100, 49], [10.25, 20.5, 30.75]],
            "class_id": [1, 2, 1],
            "score": [0.875, 0.5, 0.25],
            "classes": CLASSES,
            "tomogram": "TS_01",
            "shape": (50, 101, 100),
            "voxel_size": 10.0,
            **changes,
        }
    )


class TestEman2:
    def test_boxes_count_from_the_middle_in_unbinned_pixels(self, tmp_path):
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

    def test_it_comes_back(self, tmp_path):
        path = picks_of().write(tmp_path / "TS_01_info.json")
        found = Picks.read(path)
        np.testing.assert_allclose(found.xyz, picks_of().xyz, atol=1e-3)
        assert (found.shape, found.voxel_size) == ((50, 101, 100), 10.0)
        np.testing.assert_array_equal(found.score, picks_of().score)
        assert found.class_names == ["1bxn", "big_one", "1bxn"]
        assert [one.name for one in found.classes] == [one.name for one in CLASSES]
        assert found.tomogram == "TS_01"

    def test_its_size_is_of_no_use_at_another_voxel_size(self, tmp_path):
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

    def test_an_info_file_that_is_there_keeps_what_else_it_holds(self, tmp_path):
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

    def test_a_file_that_is_there_and_no_info_file_is_left_alone(self, tmp_path):
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


class TestCopick:
    @pytest.fixture
    def project(self, tmp_path):
        return picks_of().write(tmp_path / "project", "copick")

    def test_a_file_for_each_class_in_the_run_s_folder(self, project):
        folder = project / "ExperimentRuns" / "TS_01" / "Picks"
        # copick has no underscores in the names of objects.
        assert sorted(one.name for one in folder.iterdir()) == [
            "dep_0_1bxn.json",
            "dep_0_big-one.json",
            "dep_0_rare.json",
        ]
        content = json.loads((folder / "dep_0_1bxn.json").read_text())
        assert content["unit"] == "angstrom"
        assert content["trust_orientation"] is False
        assert [one["location"] for one in content["points"]] == [
            {"x": 0, "y": 0, "z": 0},
            {"x": 102.5, "y": 205, "z": 307.5},
        ]
        assert [one["score"] for one in content["points"]] == [0.875, 0.25]

    def test_copick_reads_the_project(self, project):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            copick = pytest.importorskip("copick")
            config = project / "copick.json"
            config.write_text(
                json.dumps(
                    {
                        "name": "test",
                        "config_type": "filesystem",
                        "pickable_objects": [
                            {"name": name, "is_particle": True, "label": k}
                            for k, name in enumerate(("1bxn", "big-one", "rare"), 1)
                        ],
                        "overlay_root": f"local://{project}",
                        "overlay_fs_args": {"auto_mkdir": True},
                    }
                )
            )
            root = copick.from_file(str(config))
            (run,) = root.runs
            assert run.name == "TS_01"
            found = {one.pickable_object_name: one for one in run.picks}
            assert sorted(found) == ["1bxn", "big-one", "rare"]
            one = found["1bxn"]
            assert (one.user_id, one.session_id, one.from_tool) == ("dep", "0", True)
            places, turns = one.numpy()
        np.testing.assert_allclose(places, [[0, 0, 0], [102.5, 205, 307.5]])
        np.testing.assert_array_equal(turns, [np.eye(4)] * 2)

    @pytest.mark.parametrize("part", [".", "ExperimentRuns", "ExperimentRuns/TS_01"])
    def test_it_comes_back_from_every_level(self, project, part):
        found = Picks.read(project / part)
        np.testing.assert_allclose(found.xyz, picks_of().xyz, atol=1e-3)
        np.testing.assert_allclose(found.score, picks_of().score)
        assert found.class_names == ["1bxn", "big_one", "1bxn"]
        assert [one.name for one in found.classes] == ["1bxn", "big_one", "rare"]
        assert (found.tomogram, found.voxel_size) == ("TS_01", 10.0)

    def test_classes_are_in_the_order_of_their_numbers(self, tmp_path):
        classes = tuple(ClassInfo(str(k), 1.0) for k in range(1, 13))
        picks_of(classes=classes).write(tmp_path, "copick")
        assert [one.name for one in Picks.read(tmp_path).classes] == [
            one.name for one in classes
        ]

    def test_one_file(self, project):
        file = project / "ExperimentRuns" / "TS_01" / "Picks" / "dep_0_1bxn.json"
        assert Picks.read(file).counts() == {"1bxn": 2}

    def test_several_runs(self, project):
        picks_of(tomogram="TS_02", voxel_size=5.0).write(project, "copick")
        found = Picks.read(project, tomogram="TS_02")
        np.testing.assert_allclose(found.xyz, picks_of().xyz, atol=1e-3)
        assert found.voxel_size == 5
        with pytest.raises(PicksError, match="holds 2 tomograms"):
            Picks.read(project)

    def test_a_point_s_own_shift_counts(self, tmp_path):
        turned = [[0, -1, 0, 10], [1, 0, 0, -20], [0, 0, 1, 0.5], [0, 0, 0, 1]]
        point = {"location": {"x": 100, "y": 100, "z": 100}, "transformation_": turned}
        path = tmp_path / "curator_1_ribosome.json"
        path.write_text(
            json.dumps(
                {
                    "pickable_object_name": "ribosome",
                    "user_id": "curator",
                    "session_id": "1",
                    "points": [point],
                }
            )
        )
        found = Picks.read(path, voxel_size=10.0)
        np.testing.assert_allclose(found.xyz, [[11, 8, 10.05]])
        assert found.class_names == ["ribosome"]

    def test_two_users_of_one_object_are_not_added_up(self, project):
        folder = project / "ExperimentRuns" / "TS_01" / "Picks"
        shutil.copy(folder / "dep_0_1bxn.json", folder / "ann_3_1bxn.json")
        with pytest.raises(PicksError, match="both hold '1bxn' of TS_01"):
            Picks.read(project)

    def test_names_that_are_one_to_copick(self, tmp_path):
        classes = (ClassInfo("a_b", 1.0), ClassInfo("a b", 1.0))
        with pytest.raises(PicksError, match="'a_b' and 'a b' would share a file"):
            picks_of(classes=classes).write(tmp_path, "copick")
        with pytest.raises(PicksError, match="leaves nothing"):
            picks_of(classes=(ClassInfo("__", 1.0),) * 2).write(tmp_path, "copick")
        with pytest.raises(PicksError, match="cannot be a folder's"):
            picks_of(tomogram="../up").write(tmp_path, "copick")
        with pytest.raises(PicksError, match="give the folder"):
            picks_of().write(tmp_path / "a.json", "copick")
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("{", "line 1: not JSON"),
            ('{"pickable_object_name": 4}', "pickable_object_name: expected a name"),
            ('{"pickable_object_name": "a", "points": 4}', "points: expected a list"),
            (
                '{"pickable_object_name": "a", "points": [{}]}',
                r"points\[0\].location: expected an object",
            ),
            (
                '{"pickable_object_name": "a", "points": [{"location": {"x": 1}}]}',
                r"points\[0\].location.y: expected a number, found nothing",
            ),
            (
                '{"pickable_object_name": "a", "points": [{"location": '
                '{"x": 1, "y": 1, "z": 1}, "transformation_": [[1]]}]}',
                r"transformation_: expected 4 rows of 4 numbers",
            ),
            (
                '{"pickable_object_name": "a", "voxel_spacing": -1}',
                "voxel_spacing: expected ångström above 0",
            ),
            ('{"pickable_object_name": "a", "run_name": []}', "run_name: expected a"),
        ],
    )
    def test_malformed(self, tmp_path, text, words):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(PicksError, match=rf"a\.json: .*{words}"):
            Picks.read(tmp_path / "a.json", "copick", voxel_size=1.0)


class TestPortal:
    @pytest.fixture
    def dataset(self, tmp_path):
        path = tmp_path / "dataset"
        write_picks([picks_of()], path, "portal")
        return path

    def test_files_lie_and_read_as_on_the_portal(self, dataset):
        folder = dataset / "TS_01/Reconstructions/VoxelSpacing10.000/Annotations"
        lines = (folder / "100" / "1bxn-1.0_point.ndjson").read_text().splitlines()
        assert [json.loads(line) for line in lines] == [
            {"type": "point", "location": {"x": 0, "y": 0, "z": 0}},
            {"type": "point", "location": {"x": 10.25, "y": 20.5, "z": 30.75}},
        ]
        about = json.loads((folder / "101" / "big_one-1.0.json").read_text())
        assert about["annotation_object"] == {"name": "big_one"}
        assert about["object_count"] == 1
        assert (dataset / about["files"][0]["path"]).is_file()

    def test_scores_that_are_lost_are_told(self, tmp_path):
        with pytest.warns(LossWarning, match="portal has no place for scores"):
            picks_of().write(tmp_path, "portal")

    @pytest.mark.parametrize(
        "part",
        [
            ".",
            "TS_01",
            "TS_01/Reconstructions",
            "TS_01/Reconstructions/VoxelSpacing10.000",
            "TS_01/Reconstructions/VoxelSpacing10.000/Annotations",
        ],
    )
    def test_it_comes_back_from_every_level(self, dataset, part):
        found = Picks.read(dataset / part)
        order = np.lexsort(picks_of().xyz.T)
        np.testing.assert_allclose(
            found.xyz[np.lexsort(found.xyz.T)], picks_of().xyz[order], atol=1e-3
        )
        assert found.counts() == {"1bxn": 2, "big_one": 1, "rare": 0}
        assert (found.tomogram, found.voxel_size) == ("TS_01", 10.0)

    def test_names_of_objects_are_those_of_the_description(self, tmp_path):
        classes = (ClassInfo("cytosolic ribosome", 250.0), CLASSES[1])
        write_picks([picks_of(classes=classes)], tmp_path, "portal")
        (file,) = tmp_path.rglob("cytosolic_ribosome-1.0_point.ndjson")
        assert Picks.read(file).counts() == {"cytosolic ribosome": 2}
        file.with_name("cytosolic_ribosome-1.0.json").unlink()
        assert Picks.read(file).counts() == {"cytosolic_ribosome": 2}

    def test_points_of_other_kinds(self, tmp_path):
        path = tmp_path / "a-2.0_orientedpoint.ndjson"
        path.write_text(
            '{"type": "orientedPoint", "location": {"x": 1, "y": 2, "z": 3}, '
            '"xyz_rotation_matrix": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}\n\n'
            '{"type": "instancePoint", "location": {"x": 4, "y": 5, "z": 6}, '
            '"instance_id": 7}'
        )
        found = Picks.read(path)
        np.testing.assert_array_equal(found.xyz, [[1, 2, 3], [4, 5, 6]])
        assert found.class_names == ["a", "a"]

    def test_two_annotations_of_one_object_are_not_added_up(self, dataset):
        folder = dataset / "TS_01/Reconstructions/VoxelSpacing10.000/Annotations"
        shutil.copytree(folder / "100", folder / "200")
        with pytest.raises(PicksError, match="both hold '1bxn' of TS_01"):
            Picks.read(dataset)

    def test_annotations_at_two_voxel_sizes_are_not_mixed(self, dataset):
        runs = dataset / "TS_01/Reconstructions"
        shutil.copytree(runs / "VoxelSpacing10.000", runs / "VoxelSpacing5.000")
        with pytest.raises(PicksError, match="at 5 and 10 Å"):
            Picks.read(dataset)

    def test_another_binning(self, dataset):
        np.testing.assert_allclose(
            sorted(Picks.read(dataset, voxel_size=20.0).xyz[:, 0].tolist()),
            sorted((picks_of().xyz[:, 0] / 2).tolist()),
            atol=1e-3,
        )

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("\n{", "line 2: column 2: not JSON"),
            ("3", r"line 1: expected an object \(\{...\}\), found 3"),
            ("{}", "line 1, location: expected an object"),
            ('{"location": {"x": 1, "y": 2}}', "line 1, location.z: expected a number"),
            ('{"type": "mesh"}', "line 1: expected a point"),
        ],
    )
    def test_malformed(self, tmp_path, text, words):
        (tmp_path / "a.ndjson").write_text(text)
        with pytest.raises(PicksError, match=rf"a\.ndjson: {words}"):
            Picks.read(tmp_path / "a.ndjson")

    def test_a_folder_without_picks(self, tmp_path):
        with pytest.raises(PicksError, match="no files of picks in this folder"):
            Picks.read(tmp_path, "portal")


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
