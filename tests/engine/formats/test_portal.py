"""The CryoET Data Portal's points: files, levels of folders, and names."""

import json
import shutil

import numpy as np
import pytest

from dep.engine import ClassInfo, Picks, PicksError
from dep.engine.formats import (
    LossWarning,
    write_picks,
)

CLASSES = (
    ClassInfo("1bxn", 122.0),
    ClassInfo("big_one", 216.5),
    ClassInfo("rare", 0.0),
)


class TestPortal:
    @pytest.fixture
    def dataset(self, tmp_path, picks_of):
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

    def test_scores_that_are_lost_are_told(self, tmp_path, picks_of):
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
    def test_it_comes_back_from_every_level(self, dataset, part, picks_of):
        found = Picks.read(dataset / part)
        order = np.lexsort(picks_of().xyz.T)
        np.testing.assert_allclose(
            found.xyz[np.lexsort(found.xyz.T)], picks_of().xyz[order], atol=1e-3
        )
        assert found.counts() == {"1bxn": 2, "big_one": 1, "rare": 0}
        assert (found.tomogram, found.voxel_size) == ("TS_01", 10.0)

    def test_names_of_objects_are_those_of_the_description(self, tmp_path, picks_of):
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

    def test_another_binning(self, dataset, picks_of):
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
