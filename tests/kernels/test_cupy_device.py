"""The device through CuPy, with a stand-in for CuPy: what it is asked for, and when."""

import sys
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

from dep.kernels.backends import BackendError
from dep.kernels.cuda import cupy_device
from dep.kernels.cuda.device import SOURCES, kernel_files


class CompileError(Exception):
    pass


class StandIn:
    """As much of CuPy as `CupyDevice` uses, and a diary."""

    def __init__(self):
        self.asked = []
        self.fails = None
        self.where = 0
        self.pools, self.allocators = [], []
        runtime = SimpleNamespace(
            getDeviceCount=lambda: 2,
            getDeviceProperties=lambda number: {
                "name": b"GPU %d" % number,
                "major": 9,
                "minor": 0,
            },
            CUDARuntimeError=OSError,
        )
        self.cuda = SimpleNamespace(
            runtime=runtime,
            Device=self.device,
            MemoryPool=self.pool,
            using_allocator=lambda malloc: nullcontext(self.allocators.append(malloc)),
            alloc_pinned_memory=self.pinned,
            Stream=self.stream,
            compiler=SimpleNamespace(CompileException=CompileError),
        )

    def device(self, number):
        made = nullcontext()
        made.id = number
        made.synchronize = lambda: self.asked.append("wait for the device")
        return made

    def stream(self, non_blocking):
        assert non_blocking  # the default stream would wait for all others
        made = nullcontext()
        made.synchronize = lambda: self.asked.append("wait for the stream")
        return made

    def pool(self):
        made = SimpleNamespace(malloc=object(), limit=None, freed=0)
        made.set_limit = lambda size: setattr(made, "limit", size)
        made.free_all_blocks = lambda: setattr(made, "freed", made.freed + 1)
        self.pools.append(made)
        return made

    def get_default_pinned_memory_pool(self):
        return SimpleNamespace(free_all_blocks=lambda: None)

    def pinned(self, size):
        if self.fails is not None:
            raise self.fails
        return bytearray(size)

    def empty(self, shape, dtype):
        return np.empty(shape, dtype)

    def asarray(self, array):
        return SimpleNamespace(device=SimpleNamespace(id=self.where), of=array)

    def RawModule(self, code, options):  # noqa: N802 - CuPy's name
        self.asked.append(("module", code, options))
        return SimpleNamespace(get_function=self.function)

    def function(self, name):
        if self.fails is not None:
            raise self.fails
        return lambda *call, shared_mem: self.asked.append((name, *call, shared_mem))


@pytest.fixture
def cupy(monkeypatch):
    made = StandIn()
    monkeypatch.setitem(sys.modules, "cupy", made)
    return made


def test_a_file_is_compiled_once_and_only_when_a_kernel_of_it_is_launched(cupy):
    device = cupy_device.CupyDevice(1)
    assert (device.name, device.capability) == ("GPU 1", "9.0")
    assert cupy.asked == []
    args = (np.int32(3),)
    device.launch("nms_cells", (1, 2, 3), (4, 8, 8), args)
    device.launch("nms_measure", (1, 1, 1), (128, 1, 1), args, shared=5)
    (module, code, options), first, second = cupy.asked
    assert module == "module"
    assert code.startswith((SOURCES / "nms.cu").read_text(encoding="utf-8"))
    assert "--fmad=false" in options  # floats equal the C core's
    assert not any("fast" in option for option in options)
    assert first == ("nms_cells", (1, 2, 3), (4, 8, 8), args, 0)
    assert second == ("nms_measure", (1, 1, 1), (128, 1, 1), args, 5)


def test_a_changed_header_is_compiled_anew(cupy, tmp_path, monkeypatch):
    """CuPy's cache on disk looks at the source it is given, not at what it includes."""
    for path in (*SOURCES.glob("*.cu"), *SOURCES.glob("*.cuh")):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(cupy_device, "kernel_files", lambda: kernel_files(tmp_path))
    codes = []
    for addition in ("", "", "// changed\n"):
        with (tmp_path / "exact.cuh").open("a", encoding="utf-8") as header:
            header.write(addition)
        cupy_device.CupyDevice().launch("nms_cells", (1, 1, 1), (1, 1, 1), ())
        codes.append(next(one[1] for one in cupy.asked if one[0] == "module"))
        cupy.asked.clear()
    assert codes[0] == codes[1] != codes[2]


@pytest.mark.parametrize(
    "error",
    [
        CompileError('cannot open source file "vector_types.h"'),
        RuntimeError("libnvrtc.so: cannot open"),
        ImportError("no nvrtc"),
    ],
)
def test_a_compiler_that_is_not_there_is_told(cupy, error):
    cupy.fails = error
    device = cupy_device.CupyDevice()
    expected = r"compile deduplicate\.cu for GPU 0 .*NVRTC and the headers.*\[ctk\]"
    with pytest.raises(BackendError, match=expected):
        device.launch("dedup_round", (1, 1, 1), (256, 1, 1), ())


def test_an_array_of_another_library_is_shared_once_it_is_written(cupy):
    device, array = cupy_device.CupyDevice(), object()
    assert device.adopt(array).of is array
    assert cupy.asked == ["wait for the device"]
    cupy.where = 1
    with pytest.raises(ValueError, match="on CUDA device 1, expected it on device 0"):
        device.adopt(array)


def test_every_device_has_a_pool_which_its_streams_share(cupy):
    """A limit is no other picker's, and nobody else's who uses CuPy."""
    first, second = cupy_device.CupyDevice(), cupy_device.CupyDevice()
    sibling = first.sibling()
    for device in (first, second, sibling):
        device.empty((2,), np.uint8)
    one, other = cupy.pools
    assert cupy.allocators == [one.malloc, other.malloc, one.malloc]
    first.limit_memory(100)
    assert (one.limit, other.limit) == (100, None)
    first.limit_memory(None)
    sibling.release_memory()
    assert (one.limit, one.freed, other.freed) == (0, 1, 0)


def test_pinned_memory_that_is_not_to_be_had_is_a_lack_of_memory(cupy):
    device = cupy_device.CupyDevice()
    assert device.pinned((2, 3), np.float32).shape == (2, 3)
    cupy.fails = OSError("cudaErrorMemoryAllocation")
    with pytest.raises(MemoryError, match="24 bytes of pinned memory: cudaErrorMem"):
        device.pinned((2, 3), np.float32)


def test_a_device_that_cannot_be_opened_is_told(cupy, monkeypatch):
    class Busy:
        def __enter__(self):
            message = "cudaErrorDevicesUnavailable"
            raise OSError(message)

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(cupy.cuda, "Device", lambda _number: Busy())
    with pytest.raises(BackendError, match=r"device 0 cannot be opened .*another prog"):
        cupy_device.CupyDevice()
