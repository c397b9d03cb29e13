"""OME-Zarr images open at the right level."""

import json
import shutil

import numcodecs
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from dep.engine import TomogramError, VoxelSizeError, open_volume
from dep.engine.readers.header import Level, Wish
from dep.engine.readers.levels import choose_level
from dep.engine.readers.registry import read_header
from dep.engine.readers.state import state_of
from dep.engine.readers.units import in_angstrom

SHAPE = (12, 20, 16)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(
    ("near", "level"),
    [(None, 0), (5.1, 0), (10.0, 1), (7.0, 0), (19, 1), (19.5, 2), (99, 2)],
)
def test_the_level_that_serves_a_voxel_size(
    tmp_path, version, near, level, voxels, image
):
    array = voxels("i1")
    path = image(tmp_path / "TS_01.zarr", array, version)
    with open_volume(path, near=near) as volume:
        every = (slice(None, None, 2**level),) * 3
        assert volume.voxel_size == 5.0 * 2**level
        assert volume.name == "TS_01"
        np.testing.assert_array_equal(volume.array, array[every])
        assert f"level {level} of 3 was read" in volume.warnings[-1]
    header = read_header(path, Wish(near=near))
    assert header.format == f"OME-Zarr {version}"
    assert [one.voxel_size for one in header.levels] == [5.0, 10.0, 20.0]


@pytest.mark.parametrize("prefix", ["", "scale"])
def test_a_level_that_is_named(tmp_path, prefix, voxels, image):
    path = image(
        tmp_path / "TS_01.zarr", voxels(), prefix=f"{prefix}/" if prefix else ""
    )
    with open_volume(path / prefix / "1", near=5.0) as volume:
        assert (volume.voxel_size, volume.name) == (10.0, "TS_01")
        np.testing.assert_array_equal(volume.array, voxels()[::2, ::2, ::2])
        assert volume.warnings == ()


def test_the_level_of_a_shape(tmp_path, voxels, image):
    path = image(tmp_path / "a.zarr", voxels())
    assert open_volume(path, near=5.0, shape=(3, 5, 4)).voxel_size == 20.0
    assert open_volume(path, near=10.0, shape=(9, 9, 9)).voxel_size == 10.0


def test_without_a_voxel_size_the_first(tmp_path, voxels, image):
    path = image(tmp_path / "a.zarr", voxels(), unit=None)
    with pytest.raises(VoxelSizeError, match=r"no unit of length \(0\.5 alone\)"):
        open_volume(path, near=10.0)
    assert open_volume(path, 7.0, near=10.0).shape == SHAPE


@given(
    # In hundredths: what differs by rounding alone may be taken for the other.
    sizes=st.lists(
        st.integers(100, 5000).map(lambda size: size / 100),
        min_size=1,
        max_size=4,
        unique=True,
    ),
    near=st.floats(1, 50),
)
def test_a_level_is_close_or_as_coarse_as_resampling_allows(sizes, near):
    levels = [Level(str(k), (k + 2,) * 3, size) for k, size in enumerate(sorted(sizes))]
    chosen = choose_level(levels, Wish(near)).voxel_size
    close = [size for size in sizes if abs(size / near - 1) <= 0.05]
    if close:
        assert chosen == min(close, key=lambda size: abs(np.log(size / near)))
    else:
        finer = [size for size in sizes if size < near]
        assert chosen == (max(finer) if finer else min(sizes))


@pytest.mark.parametrize(
    ("unit", "size"),
    [("angstrom", 5.0), ("nanometer", 0.5), ("micrometer", 5e-4), ("picometer", 500.0)],
)
def test_units(tmp_path, unit, size, voxels, image):
    path = image(tmp_path / "a.zarr", voxels(), unit=unit, size=size, levels=1)
    volume = open_volume(path)
    assert volume.voxel_size == pytest.approx(5.0, rel=1e-8)
    assert volume.warnings == ()


def test_units_as_people_write_them():
    for unit in ("Å", "\u212b", "angstrom", "A"):
        assert in_angstrom(unit) == 1.0
    for unit in ("µm", "\u03bcm", "um", "micron", "micrometre", "\\u00B5m"):
        assert in_angstrom(unit) == 1e4
    assert in_angstrom("pixel") is None


@pytest.mark.parametrize(
    "options",
    [
        {"dtype": ">i2"},
        {"dtype": "u1", "chunks": (12, 20, 16)},
        {"dtype": "f2", "version": "0.5", "chunks": (3, 4, 4), "shards": (6, 8, 8)},
        {"dtype": "f8", "version": "0.5", "compressors": None, "chunks": (7, 7, 7)},
    ],
    ids=str,
)
def test_chunks_shards_and_types(tmp_path, options, voxels, image):
    array = np.abs(voxels()).astype(options.pop("dtype"))
    path = image(tmp_path / "a.zarr", array, levels=1, **options)
    with open_volume(path) as volume:
        assert volume.warnings == ()
        for z in range(SHAPE[0]):
            np.testing.assert_array_equal(volume.read(z, z + 1)[0], array[z])
        np.testing.assert_array_equal(volume.read(2, 9), array[2:9])


def test_channels_and_times_of_one_are_left_out(tmp_path, voxels, image):
    path = image(tmp_path / "a.zarr", voxels()[None, None], names="tczyx")
    with open_volume(path, near=10.0) as volume:
        np.testing.assert_array_equal(volume.array, voxels()[::2, ::2, ::2])


class TestRefused:
    def test_several_channels(self, tmp_path, voxels, image):
        path = image(tmp_path / "a.zarr", np.stack([voxels()] * 2), names="czyx")
        with pytest.raises(TomogramError, match="2 entries along the axis 'c'"):
            open_volume(path)

    def test_axes_in_another_order(self, tmp_path, voxels, image):
        path = image(tmp_path / "a.zarr", voxels(), names="xyz")
        with pytest.raises(TomogramError, match=r"axes z, y, x .* found x, y, z"):
            open_volume(path)

    def test_one_plane(self, tmp_path, voxels, image):
        path = image(tmp_path / "a.zarr", voxels()[:1], levels=1)
        with pytest.raises(TomogramError, match="2D image of 16 x 20"):
            open_volume(path)

    def test_complex_voxels(self, tmp_path, voxels, image):
        path = image(tmp_path / "a.zarr", voxels("c8"), levels=1)
        with pytest.raises(TomogramError, match="complex64 cannot be picked"):
            open_volume(path)

    def test_no_such_level(self, tmp_path, voxels, image):
        path = image(tmp_path / "a.zarr", voxels())
        with pytest.raises(
            TomogramError, match=r"no level '7' of .*, which has 0, 1, 2"
        ):
            open_volume(path / "7")

    def test_nothing_there(self, tmp_path):
        with pytest.raises(TomogramError, match=r"a\.zarr: no such file"):
            open_volume(tmp_path / "a.zarr")
        (tmp_path / "a.zarr").mkdir()
        with pytest.raises(TomogramError, match=r"a\.zarr: no Zarr image here"):
            open_volume(tmp_path / "a.zarr")

    def test_a_group_that_is_no_image(self, tmp_path, voxels, image):
        group = zarr.open_group(tmp_path / "a.zarr", mode="w")
        image(tmp_path / "a.zarr" / "0", voxels())
        group.create_array("labels", shape=(3,), dtype="i4")
        with pytest.raises(TomogramError, match=r"It holds 0, labels\. Name .*zarr/0"):
            open_volume(tmp_path / "a.zarr")
        assert open_volume(tmp_path / "a.zarr" / "0").voxel_size == 5.0

    @pytest.mark.parametrize(
        "multiscales", [[{"datasets": []}], [{"axes": 3}], "no", [{"datasets": [{}]}]]
    )
    def test_metadata_without_sense(self, tmp_path, multiscales):
        group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
        group.attrs["multiscales"] = multiscales
        with pytest.raises(
            TomogramError, match=r"a\.zarr: .*(no sense|without levels)"
        ):
            open_volume(tmp_path / "a.zarr")

    def test_metadata_that_is_no_json(self, tmp_path, voxels, image):
        path = image(tmp_path / "a.zarr", voxels())
        (path / ".zattrs").write_text("{")
        with pytest.raises(TomogramError, match="may be damaged or cut short"):
            open_volume(path)

    @pytest.mark.parametrize("version", ["0.4", "0.5"])
    @pytest.mark.parametrize("left", [9, 20, 2000])
    @pytest.mark.parametrize("codec", ["blosc", "gzip"])
    def test_a_chunk_that_is_cut_short(
        self, tmp_path, version, left, codec, voxels, image
    ):
        how = {
            ("blosc", "0.4"): numcodecs.Blosc("lz4"),
            ("blosc", "0.5"): zarr.codecs.BloscCodec(cname="lz4"),
            ("gzip", "0.4"): numcodecs.GZip(1),
            ("gzip", "0.5"): zarr.codecs.GzipCodec(level=1),
        }[codec, version]
        array = voxels()
        path = image(tmp_path / "a.zarr", array, version, levels=1, compressors=how)
        chunk = path / "0" / ("1.0.0" if version == "0.4" else "c/1/0/0")
        chunk.write_bytes(chunk.read_bytes()[:left])
        with open_volume(path) as volume:
            np.testing.assert_array_equal(volume.read(0, 5), array[:5])
            with pytest.raises(TomogramError, match=r"cut short.*opy .* again"):
                volume.read(5, 6)


def test_chunks_that_are_not_there_are_mentioned(tmp_path, voxels, image):
    path = image(tmp_path / "a.zarr", voxels(), levels=1)
    (path / "0" / "1.0.0").unlink()
    with open_volume(path) as volume:
        assert "1 of 9 chunks are not there and are taken for 0.0" in volume.warnings[0]
        assert (volume.read(5, 10)[:, :8] == 0).all()


def test_an_image_of_which_one_level_was_copied(tmp_path, voxels, image):
    path = image(tmp_path / "a.zarr", voxels())
    shutil.rmtree(path / "0")
    assert open_volume(path).voxel_size == 10.0
    for level in "12":
        shutil.rmtree(path / level)
    with pytest.raises(TomogramError, match=r"none of the image's levels \(0, 1, 2\)"):
        open_volume(path)


def test_an_array_without_an_image(tmp_path, voxels):
    zarr.create_array(tmp_path / "a.zarr", data=voxels())
    with pytest.raises(VoxelSizeError, match="is not given"):
        open_volume(tmp_path / "a.zarr")
    np.testing.assert_array_equal(open_volume(tmp_path / "a.zarr", 9.0).array, voxels())


@pytest.mark.parametrize(
    ("version", "change", "words"),
    [
        ("0.4", {"compressor": {"id": "nonesuch"}}, "codec that is not installed"),
        ("0.5", {"codecs": [{"name": "nonesuch"}]}, "codec that is not installed"),
        ("0.4", {"chunks": [0, 8, 16]}, r"chunks of \[0, 8, 16\] voxels"),
        ("0.4", {"shape": [-4, 20, 16]}, "cannot be read"),
        ("0.4", {"shape": [0, 20, 16]}, "without voxels"),
        ("0.4", {"shape": [10**9] * 3}, "MiB needed"),
        ("0.4", {"dtype": "|O"}, "cannot be read"),
    ],
)
def test_metadata_of_an_array_that_lies(
    tmp_path, version, change, words, voxels, image
):
    image(tmp_path / "a.zarr", voxels(), version, levels=1)
    name = "0/.zarray" if version == "0.4" else "0/zarr.json"
    facts = json.loads((tmp_path / "a.zarr" / name).read_text())
    (tmp_path / "a.zarr" / name).write_text(json.dumps(facts | change))
    with (
        pytest.raises(TomogramError, match=rf"a\.zarr.*: .*{words}"),
        open_volume(tmp_path / "a.zarr") as volume,
    ):
        volume.read(0, 1)


def test_an_image_that_links_back_to_itself_has_a_state(tmp_path, voxels, image):
    path = image(tmp_path / "a.zarr", voxels(), levels=1)
    before = state_of(path)
    (path / "0" / "loop").symlink_to(path)
    after = state_of(path)
    assert after["entries"] == before["entries"] + 1
    assert after["bytes"] == before["bytes"]
