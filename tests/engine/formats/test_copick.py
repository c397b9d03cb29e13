"""copick projects: files, levels of folders, and names."""

import json
import shutil
import warnings

import numpy as np
import pytest

from dep.engine import ClassInfo, Picks, PicksError

CLASSES = (
    ClassInfo("1bxn", 122.0),
    ClassInfo("big_one", 216.5),
    ClassInfo("rare", 0.0),
)


class TestCopick:
    @pytest.fixture
    def project(self, tmp_path, picks_of):
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
    def test_it_comes_back_from_every_level(self, project, part, picks_of):
        found = Picks.read(project / part)
        np.testing.assert_allclose(found.xyz, picks_of().xyz, atol=1e-3)
        np.testing.assert_allclose(found.score, picks_of().score)
        assert found.class_names == ["1bxn", "big_one", "1bxn"]
        assert [one.name for one in found.classes] == ["1bxn", "big_one", "rare"]
        assert (found.tomogram, found.voxel_size) == ("TS_01", 10.0)

    def test_classes_are_in_the_order_of_their_numbers(self, tmp_path, picks_of):
        classes = tuple(ClassInfo(str(k), 1.0) for k in range(1, 13))
        picks_of(classes=classes).write(tmp_path, "copick")
        assert [one.name for one in Picks.read(tmp_path).classes] == [
            one.name for one in classes
        ]

    def test_one_file(self, project):
        file = project / "ExperimentRuns" / "TS_01" / "Picks" / "dep_0_1bxn.json"
        assert Picks.read(file).counts() == {"1bxn": 2}

    def test_several_runs(self, project, picks_of):
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

    def test_names_that_are_one_to_copick(self, tmp_path, picks_of):
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
