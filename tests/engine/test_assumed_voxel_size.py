"""A voxel size that nobody gave is never used without a word."""

import mrcfile
import pytest

from dep.engine import Picker, VoxelSizeError, open_volume


@pytest.fixture
def nameless(make_tomogram, tmp_path):
    path = tmp_path / "TS_01.mrc"
    make_tomogram(path)
    with mrcfile.open(path, mode="r+") as mrc:
        mrc.voxel_size = 0
    return path


def test_an_assumed_voxel_size_is_a_warning(nameless):
    with open_volume(nameless, default_voxel_size=10.0) as volume:
        assert volume.voxel_size == 10.0
        assert "voxel size in the header is 0, 10 Å are assumed" in volume.warnings[0]


def test_picks_keep_the_warning(nameless, tiny_model):
    with Picker(tiny_model) as picker:
        with pytest.raises(VoxelSizeError, match="--voxel-size"):
            picker.pick(nameless)
        picks = picker.pick(nameless, ignore_voxel_size=True)
        assert any("are assumed" in warning for warning in picks.warnings)
        given = picker.pick(nameless, voxel_size=10.0)
        assert not given.warnings
