"""OME-Zarr images open at the right level, from a folder and from a server."""

import contextlib
import http.server
import shutil
import socket
import threading
from functools import partial

import numcodecs
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from dep.engine import TomogramError, VoxelSizeError, open_volume
from dep.engine.readers import remote
from dep.engine.readers.chunks import UnpackedPlanes
from dep.engine.readers.header import Level, Wish
from dep.engine.readers.levels import choose_level
from dep.engine.readers.registry import read_header
from dep.engine.readers.units import in_angstrom

SHAPE = (12, 20, 16)


def voxels(dtype="f4", shape=SHAPE):
    return np.random.default_rng(0).normal(0, 30, shape).clip(-99, 99).astype(dtype)


def image(
    path,
    array,
    version="0.4",
    size=0.5,
    unit="nanometer",
    levels=3,
    names="zyx",
    prefix="",
    **options,
):
    """Write an image whose levels are every second voxel of the one before."""
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    axes = [
        {"name": name, **({"type": "space", "unit": unit} if name in "zyx" else {})}
        for name in names
    ]
    datasets = []
    for number in range(levels):
        every = (slice(None, None, 2**number),) * 3
        part = array[..., *every]
        options.setdefault("chunks", (1,) * (part.ndim - 3) + (5, 8, 16))
        name = f"{prefix}{number}"
        group.create_array(name, shape=part.shape, dtype=part.dtype, **options)[:] = (
            part
        )
        scale = [1.0] * (part.ndim - 3) + [size * 2**number] * 3
        transformations = [
            {"type": "scale", "scale": scale},
            {"type": "translation", "translation": [0.0] * part.ndim},
        ]
        datasets.append({"path": name, "coordinateTransformations": transformations})
    multiscales = [{"axes": axes, "datasets": datasets, "name": "tomogram"}]
    if version == "0.4":
        multiscales[0]["version"] = version
        group.attrs["multiscales"] = multiscales
    else:
        group.attrs["ome"] = {"version": version, "multiscales": multiscales}
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(
    ("near", "level"),
    [(None, 0), (5.1, 0), (10.0, 1), (7.0, 0), (19, 1), (19.5, 2), (99, 2)],
)
def test_the_level_that_serves_a_voxel_size(tmp_path, version, near, level):
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
def test_a_level_that_is_named(tmp_path, prefix):
    path = image(
        tmp_path / "TS_01.zarr", voxels(), prefix=f"{prefix}/" if prefix else ""
    )
    with open_volume(path / prefix / "1", near=5.0) as volume:
        assert (volume.voxel_size, volume.name) == (10.0, "TS_01")
        np.testing.assert_array_equal(volume.array, voxels()[::2, ::2, ::2])
        assert volume.warnings == ()


def test_the_level_of_a_shape(tmp_path):
    path = image(tmp_path / "a.zarr", voxels())
    assert open_volume(path, near=5.0, shape=(3, 5, 4)).voxel_size == 20.0
    assert open_volume(path, near=10.0, shape=(9, 9, 9)).voxel_size == 10.0


def test_without_a_voxel_size_the_first(tmp_path):
    path = image(tmp_path / "a.zarr", voxels(), unit=None)
    with pytest.raises(VoxelSizeError, match=r"no unit of length \(0\.5 alone\)"):
        open_volume(path, near=10.0)
    assert open_volume(path, 7.0, near=10.0).shape == SHAPE


@given(
    sizes=st.lists(st.floats(1, 50), min_size=1, max_size=4, unique=True),
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
def test_units(tmp_path, unit, size):
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
def test_chunks_shards_and_types(tmp_path, options):
    array = np.abs(voxels()).astype(options.pop("dtype"))
    path = image(tmp_path / "a.zarr", array, levels=1, **options)
    with open_volume(path) as volume:
        assert volume.warnings == ()
        for z in range(SHAPE[0]):
            np.testing.assert_array_equal(volume.read(z, z + 1)[0], array[z])
        np.testing.assert_array_equal(volume.read(2, 9), array[2:9])


def test_channels_and_times_of_one_are_left_out(tmp_path):
    path = image(tmp_path / "a.zarr", voxels()[None, None], names="tczyx")
    with open_volume(path, near=10.0) as volume:
        np.testing.assert_array_equal(volume.array, voxels()[::2, ::2, ::2])


class TestRefused:
    def test_several_channels(self, tmp_path):
        path = image(tmp_path / "a.zarr", np.stack([voxels()] * 2), names="czyx")
        with pytest.raises(TomogramError, match="2 entries along the axis 'c'"):
            open_volume(path)

    def test_axes_in_another_order(self, tmp_path):
        path = image(tmp_path / "a.zarr", voxels(), names="xyz")
        with pytest.raises(TomogramError, match=r"axes z, y, x .* found x, y, z"):
            open_volume(path)

    def test_one_plane(self, tmp_path):
        path = image(tmp_path / "a.zarr", voxels()[:1], levels=1)
        with pytest.raises(TomogramError, match="2D image of 16 x 20"):
            open_volume(path)

    def test_complex_voxels(self, tmp_path):
        path = image(tmp_path / "a.zarr", voxels("c8"), levels=1)
        with pytest.raises(TomogramError, match="complex64 cannot be picked"):
            open_volume(path)

    def test_no_such_level(self, tmp_path):
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

    def test_a_group_that_is_no_image(self, tmp_path):
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

    def test_metadata_that_is_no_json(self, tmp_path):
        path = image(tmp_path / "a.zarr", voxels())
        (path / ".zattrs").write_text("{")
        with pytest.raises(TomogramError, match="may be damaged or cut short"):
            open_volume(path)

    @pytest.mark.parametrize("version", ["0.4", "0.5"])
    @pytest.mark.parametrize("left", [9, 20, 2000])
    @pytest.mark.parametrize("codec", ["blosc", "gzip"])
    def test_a_chunk_that_is_cut_short(self, tmp_path, version, left, codec):
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


def test_chunks_that_are_not_there_are_mentioned(tmp_path):
    path = image(tmp_path / "a.zarr", voxels(), levels=1)
    (path / "0" / "1.0.0").unlink()
    with open_volume(path) as volume:
        assert "1 of 9 chunks are not there and are taken for 0.0" in volume.warnings[0]
        assert (volume.read(5, 10)[:, :8] == 0).all()


def test_an_image_of_which_one_level_was_copied(tmp_path):
    path = image(tmp_path / "a.zarr", voxels())
    shutil.rmtree(path / "0")
    assert open_volume(path).voxel_size == 10.0
    for level in "12":
        shutil.rmtree(path / level)
    with pytest.raises(TomogramError, match=r"none of the image's levels \(0, 1, 2\)"):
        open_volume(path)


def test_an_array_without_an_image(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", data=voxels())
    with pytest.raises(VoxelSizeError, match="is not given"):
        open_volume(tmp_path / "a.zarr")
    np.testing.assert_array_equal(open_volume(tmp_path / "a.zarr", 9.0).array, voxels())


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and fails where it is told to."""

    asked: list
    failures: dict
    instead: dict  # path -> status, headers, pieces of the content

    def do_GET(self):
        self.asked.append(self.path)
        if self.failures.get(self.path, 0) > 0:
            self.failures[self.path] -= 1
            self.send_error(503)
            return
        if self.path in self.instead:
            status, lines, content = self.instead[self.path]
            self.send_response(status)
            for line in lines.items():
                self.send_header(*line)
            self.end_headers()
            with contextlib.suppress(OSError):  # who asked has gone
                for one in content:
                    self.wfile.write(one)
                    self.wfile.flush()
            return
        super().do_GET()

    def log_message(self, *_words):
        pass


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Give the address of a server of `tmp_path`, and its handler."""
    monkeypatch.setattr(remote, "PAUSE", 0.01)
    handler = type("Ours", (Handler,), {"asked": [], "failures": {}, "instead": {}})
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(handler, directory=tmp_path)
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler
    server.shutdown()
    server.server_close()
    thread.join()


class TestAddress:
    @pytest.mark.parametrize("version", ["0.4", "0.5"])
    def test_the_same_voxels_and_each_chunk_once(self, tmp_path, served, version):
        image(tmp_path / "TS_01.zarr", voxels(), version)
        address, handler = served
        with open_volume(f"{address}/TS_01.zarr", near=10.0) as volume:
            assert (volume.name, volume.voxel_size) == ("TS_01", 10.0)
            assert isinstance(volume._planes, UnpackedPlanes)
            handler.asked.clear()
            for _ in range(2):
                for z in range(6):
                    expected = voxels()[::2, ::2, ::2][z]
                    np.testing.assert_array_equal(volume.read(z, z + 1)[0], expected)
        assert len(handler.asked) == len(set(handler.asked)) == 4  # (6, 10, 8) voxels

    def test_a_level_that_is_named(self, tmp_path, served):
        image(tmp_path / "TS_01.zarr", voxels())
        with open_volume(f"{served[0]}/TS_01.zarr/2") as volume:
            assert (volume.name, volume.voxel_size) == ("TS_01", 20.0)

    def test_what_fails_once_is_asked_for_again(self, tmp_path, served):
        image(tmp_path / "a.zarr", voxels(), levels=1)
        address, handler = served
        handler.failures["/a.zarr/0/1.0.0"] = 1
        np.testing.assert_array_equal(open_volume(f"{address}/a.zarr").array, voxels())
        handler.failures["/a.zarr/0/1.0.0"] = 99
        with pytest.raises(TomogramError, match=r"a\.zarr/0: cannot be read \(.*503"):
            open_volume(f"{address}/a.zarr").read(0, 12)

    def test_metadata_too(self, tmp_path, served):
        image(tmp_path / "a.zarr", voxels(), "0.5", levels=1)
        address, handler = served
        for path in ("/a.zarr/zarr.json", "/a.zarr/0/zarr.json"):
            handler.failures[path] = 1
        assert open_volume(f"{address}/a.zarr").shape == voxels().shape

    @pytest.mark.parametrize(
        ("status", "lines", "content", "words"),
        [
            (403, {}, [], r"answered 403, .* to http.*/0\.0\.0\). .*open to everybody"),
            (500, {}, [], r"answered 500, .*try later"),
            (302, {"Location": "0.0.0"}, [], "TooManyRedirects.*address right"),
            (200, {"Content-Length": "99"}, [b"half"], "not completed.*server there"),
            (200, {"Content-Length": "4"}, [b"html"], "makes no sense.*be damaged"),
        ],
    )
    def test_what_a_server_may_do(
        self, tmp_path, served, status, lines, content, words
    ):
        image(tmp_path / "a.zarr", voxels(), levels=1)
        address, handler = served
        handler.instead["/a.zarr/0/0.0.0"] = (status, lines, content)
        with (
            open_volume(f"{address}/a.zarr") as volume,
            pytest.raises(TomogramError, match=rf"/a\.zarr/0: cannot be read.*{words}"),
        ):
            volume.read(0, 1)
        tries = handler.asked.count("/a.zarr/0/0.0.0")
        assert tries == 1 if status == 403 else tries >= remote.ATTEMPTS

    def test_redirects_are_followed(self, tmp_path, served):
        image(tmp_path / "a.zarr", voxels(), levels=1)
        address, handler = served
        (tmp_path / "a.zarr/0/0.0.0").rename(tmp_path / "there")
        handler.instead["/a.zarr/0/0.0.0"] = (302, {"Location": "/there"}, [])
        np.testing.assert_array_equal(open_volume(f"{address}/a.zarr").array, voxels())

    @pytest.mark.parametrize("pause", [0.05, 60])
    def test_a_server_that_sends_little_or_stops_has_a_limit(
        self, tmp_path, served, monkeypatch, pause
    ):
        monkeypatch.setattr(remote, "ANSWER", 0.3)
        monkeypatch.setattr(remote, "LONGEST", 0.6)
        image(tmp_path / "a.zarr", voxels(), levels=1)
        address, handler = served
        ended = threading.Event()

        class Drops:
            def __iter__(self):
                while not ended.is_set():
                    yield b"."
                    ended.wait(pause)

        length = {"Content-Length": "9999"}
        handler.instead["/a.zarr/0/0.0.0"] = (200, length, Drops())
        with (
            open_volume(f"{address}/a.zarr") as volume,
            pytest.raises(TomogramError, match=r"took too long.*0\.6 for a chunk"),
        ):
            volume.read(0, 1)
        ended.set()

    def test_a_server_that_answers_to_every_name(self, served):
        address, handler = served
        names = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
        for name in names:
            page = b"<html></html>"
            handler.instead[f"/a.zarr/{name}"] = (200, {"Content-Length": "13"}, [page])
        with pytest.raises(TomogramError, match=r"makes no sense: JSONDecodeError"):
            open_volume(f"{address}/a.zarr")

    def test_nothing_at_an_address(self, served):
        with pytest.raises(TomogramError, match=r"/none\.zarr: no Zarr image here"):
            open_volume(f"{served[0]}/none.zarr")

    def test_nobody_answers(self, monkeypatch):
        monkeypatch.setattr(remote, "PAUSE", 0.01)
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            address = f"http://127.0.0.1:{unused.getsockname()[1]}/a.zarr"
            with pytest.raises(
                TomogramError, match=r"a\.zarr: cannot be read .*server"
            ):
                open_volume(address)

    def test_a_server_that_says_nothing_has_a_limit(self, monkeypatch):
        monkeypatch.setattr(remote, "ANSWER", 0.2)
        monkeypatch.setattr(remote, "PAUSE", 0.01)
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            address = f"http://127.0.0.1:{silent.getsockname()[1]}/a.zarr"
            with pytest.raises(TomogramError, match=r"cannot be read .*Timeout"):
                open_volume(address)

    @pytest.mark.parametrize("address", ["nonsense://a/b.zarr", "s3://a/b.zarr"])
    def test_kinds_that_are_unknown_or_need_a_package(self, address):
        with pytest.raises(TomogramError, match=r"b\.zarr"):
            open_volume(address)
