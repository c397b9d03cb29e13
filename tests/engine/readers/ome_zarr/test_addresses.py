"""OME-Zarr images are read from servers, and servers that fail are said to."""

import contextlib
import http.server
import socket
import threading
from functools import partial

import numpy as np
import pytest

from dep.engine import TomogramError, open_volume
from dep.engine.readers import remote
from dep.engine.readers.chunks import UnpackedPlanes


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
    def test_the_same_voxels_and_each_chunk_once(
        self, tmp_path, served, version, voxels, image
    ):
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

    def test_a_level_that_is_named(self, tmp_path, served, voxels, image):
        image(tmp_path / "TS_01.zarr", voxels())
        with open_volume(f"{served[0]}/TS_01.zarr/2") as volume:
            assert (volume.name, volume.voxel_size) == ("TS_01", 20.0)

    def test_what_fails_once_is_asked_for_again(self, tmp_path, served, voxels, image):
        image(tmp_path / "a.zarr", voxels(), levels=1)
        address, handler = served
        handler.failures["/a.zarr/0/1.0.0"] = 1
        np.testing.assert_array_equal(open_volume(f"{address}/a.zarr").array, voxels())
        handler.failures["/a.zarr/0/1.0.0"] = 99
        with pytest.raises(TomogramError, match=r"a\.zarr/0: cannot be read \(.*503"):
            open_volume(f"{address}/a.zarr").read(0, 12)

    def test_metadata_too(self, tmp_path, served, voxels, image):
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
        self,
        tmp_path,
        served,
        status,
        lines,
        content,
        words,
        voxels,
        image,
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

    def test_redirects_are_followed(self, tmp_path, served, voxels, image):
        image(tmp_path / "a.zarr", voxels(), levels=1)
        address, handler = served
        (tmp_path / "a.zarr/0/0.0.0").rename(tmp_path / "there")
        handler.instead["/a.zarr/0/0.0.0"] = (302, {"Location": "/there"}, [])
        np.testing.assert_array_equal(open_volume(f"{address}/a.zarr").array, voxels())

    @pytest.mark.parametrize("pause", [0.05, 60])
    def test_a_server_that_sends_little_or_stops_has_a_limit(
        self,
        tmp_path,
        served,
        monkeypatch,
        pause,
        voxels,
        image,
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
