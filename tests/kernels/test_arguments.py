"""A wrong argument is an error that says what was expected and what was found."""

import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from dep.kernels import BackendError, _c, assemble, deduplicate, halo, mp_nms

LABELS = np.zeros((4, 5, 6), np.uint8)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"labels": LABELS.astype(np.int32)}, TypeError, "uint8.*found int32"),
        ({"labels": LABELS.tolist()}, TypeError, "uint8 array.*found list"),
        ({"labels": LABELS[0]}, ValueError, r"three axes z, y, x.*\(5, 6\)"),
        ({"iterations": 0}, ValueError, "1 to 13, found 0"),
        ({"iterations": 14}, ValueError, r"found 14.*27\^14 does not fit"),
        ({"iterations": [3, 14]}, ValueError, r"27\^14 does not fit"),
        ({"iterations": -1}, ValueError, "found -1"),
        ({"iterations": 2.5}, TypeError, "whole number"),
        ({"iterations": True}, TypeError, "whole number"),
        ({"iterations": "3"}, TypeError, "whole number"),
        ({"iterations": [3, 2.5]}, TypeError, "whole numbers, found 2.5"),
        ({"iterations": []}, ValueError, "1 to 255 classes, found 0"),
        ({"iterations": [1] * 256}, ValueError, "found 256"),
        ({"iterations": [3], "joint": True}, ValueError, "joint.*one number"),
        ({"t_lm": 0}, ValueError, "above 0 and at most 1, found 0"),
        ({"t_lm": -0.1}, ValueError, "above 0"),
        ({"t_lm": 1.01}, ValueError, "found 1.01"),
        ({"t_lm": math.nan}, ValueError, "found nan"),
        ({"probability": LABELS.astype(float)}, TypeError, "uint8 or float32.*float64"),
        ({"probability": LABELS[1:]}, ValueError, r"\(4, 5, 6\).*found \(3, 5, 6\)"),
        ({"probability": np.full(LABELS.shape, 1.5, "f4")}, ValueError, "0 and 1"),
        ({"probability": np.full(LABELS.shape, np.nan, "f4")}, ValueError, "nan"),
        ({"core": (0, 5)}, ValueError, r"<= 4, found \(0, 5\)"),
        ({"core": (3, 2)}, ValueError, "z0 <= z1"),
        ({"core": (-1, 2)}, ValueError, "0 <= z0"),
        ({"z_origin": 2**31 - 1}, ValueError, "32 bits"),
        ({"threads": 0}, ValueError, "at least 1, found 0"),
        ({"threads": 1.5}, TypeError, "whole number, found 1.5"),
        ({"backend": "opencl"}, ValueError, "found 'opencl'"),
    ],
)
def test_mp_nms_refuses(change, error, words):
    arguments = {"labels": LABELS, "iterations": 3, "t_lm": 0.1} | change
    with pytest.raises(error, match=words):
        mp_nms(**arguments)


@pytest.mark.parametrize("twin", ["c", "reference"])
def test_a_class_beyond_the_list_is_refused(twin):
    labels = LABELS.copy()
    labels[1, 2, 3], labels[0, 0, 0] = 9, 3
    with pytest.raises(ValueError, match="class 3, but iterations list only 2"):
        mp_nms(labels, [3, 3], 0.1, backend=twin)
    assert len(mp_nms(labels, 3, 1e-9, backend=twin)) == 2


def test_iterations_may_be_any_whole_numbers():
    for iterations in (np.int64(3), np.array([3, 4]), (3, 4), range(3, 5)):
        assert len(mp_nms(LABELS, iterations, 0.1)) == 0
        assert halo(iterations) >= 4


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"xyz": np.zeros((3, 2))}, ValueError, r"\(n, 3\), found \(3, 2\)"),
        ({"xyz": np.zeros(9)}, ValueError, r"found \(9,\)"),
        ({"xyz": np.zeros((3, 3), complex)}, TypeError, "real numbers"),
        (
            {"xyz": [[0, 0, 0], [0, math.nan, 0], [0, 0, 0]]},
            ValueError,
            r"nan at \[1, 1",
        ),
        ({"xyz": np.full((3, 3), 1e39)}, ValueError, "finite, found inf"),
        ({"score": [1, 2]}, ValueError, r"\(3,\) as xyz has, found \(2,\)"),
        ({"score": [1, 2, math.inf]}, ValueError, r"found inf at \[2\]"),
        ({"score": ["a", "b", "c"]}, TypeError, "real numbers"),
        ({"t_dist": -1}, ValueError, "found -1"),
        ({"t_dist": math.nan}, ValueError, "found nan"),
        ({"t_dist": math.inf}, ValueError, "found inf"),
        ({"class_id": [1, 2]}, ValueError, r"found \(2,\)"),
        ({"class_id": [1.0, 2.0, 3.0]}, TypeError, "integers"),
        ({"class_id": [1, 2, 2**31]}, ValueError, "32 bits"),
    ],
)
def test_deduplicate_refuses(change, error, words):
    arguments = {"xyz": np.zeros((3, 3)), "score": [1, 2, 3], "t_dist": 2} | change
    with pytest.raises(error, match=words):
        deduplicate(**arguments)


@pytest.mark.parametrize("twin", ["c", "reference"])
def test_no_candidates_are_no_error(twin):
    kept = deduplicate(np.zeros((0, 3), np.float32), [], 3, backend=twin)
    assert kept.shape == (0,)
    assert kept.dtype == np.int64


READ_ONLY = np.zeros((8, 8, 8), np.uint8)
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"scores": np.zeros((3, 6, 6, 6))}, TypeError, "float32 or float16.*float64"),
        ({"scores": np.zeros((6, 6, 6), "f4")}, ValueError, "four axes"),
        ({"scores": np.zeros((1, 6, 6, 6), "f4")}, ValueError, "beside the background"),
        ({"scores": np.zeros((257, 6, 6, 6), "f4")}, ValueError, "found 256"),
        ({"labels": np.zeros((8, 8, 8))}, TypeError, "labels must be a uint8"),
        ({"labels": np.zeros((8, 8), np.uint8)}, ValueError, "three axes"),
        ({"labels": np.zeros((8, 8, 9), np.uint8)}, ValueError, "one shape"),
        ({"probability": READ_ONLY}, ValueError, "probability.*read-only"),
        (
            {"labels": np.zeros((8, 8, 16), np.uint8)[..., ::2]},
            ValueError,
            "x axis must be contiguous",
        ),
        ({"source": (1, 0, 0)}, ValueError, r"leaves the tile of shape \(6, 6, 6\)"),
        ({"target": (0, 3, 0)}, ValueError, r"leaves the slabs of shape \(8, 8, 8\)"),
        ({"source": (-1, 0, 0)}, ValueError, "negative"),
        ({"size": (6, 6)}, ValueError, "three whole numbers"),
        ({"size": (6, 6, 1.5)}, TypeError, "three whole numbers"),
        ({"t_seg": 1}, ValueError, "below 1, found 1"),
        ({"t_seg": math.nan}, ValueError, "found nan"),
        ({"threads": 0}, ValueError, "at least 1"),
    ],
)
def test_assemble_refuses(change, error, words):
    arguments = {
        "scores": np.zeros((3, 6, 6, 6), np.float32),
        "labels": np.zeros((8, 8, 8), np.uint8),
        "probability": np.zeros((8, 8, 8), np.uint8),
        "source": (0, 0, 0),
        "target": (2, 2, 2),
        "size": (6, 6, 6),
        "t_seg": 0.5,
        "joint": True,
    } | change
    with pytest.raises(error, match=words):
        assemble(**arguments)


@pytest.mark.parametrize(
    ("channels", "background", "threads", "words"),
    [
        (0, True, 1, "1 to 255 classes"),
        (0, False, 1, "1 to 255 classes"),
        (1, True, 1, "1 to 255 classes"),
        (257, True, 1, "1 to 255 classes"),
        (256, False, 1, "1 to 255 classes"),
        (2, True, 0, "at least one thread"),
        (2, True, -1, "at least one thread"),
    ],
)
def test_the_c_core_itself_refuses_what_would_leave_memory(
    channels, background, threads, words
):
    # Its callers check the same; a call that goes around them must not read or write
    # beyond the arrays, nor return with nothing done.
    slabs = np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)
    zero = (0, 0, 0)
    with pytest.raises(ValueError, match=words):
        _c.assemble(
            np.zeros((channels, 4, 4, 4), np.float32),
            *slabs,
            zero,
            zero,
            (4, 4, 4),
            0.5,
            True,
            background,
            threads,
        )
    assert not np.any(slabs)


def test_without_the_compiled_core_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "dep.kernels._c", None)
    for backend in ("auto", "c"):
        with pytest.raises(BackendError, match="with a C compiler"):
            mp_nms(LABELS, 3, 0.1, backend=backend)
        with pytest.raises(BackendError, match="backend='reference'"):
            deduplicate(np.zeros((1, 3)), [1], 2, backend=backend)
    assert len(mp_nms(LABELS, 3, 0.1, backend="reference")) == 0


@pytest.fixture
def no_cupy(monkeypatch):
    from dep.kernels.cuda import cupy_device

    cupy_device.default_device.cache_clear()
    monkeypatch.setitem(sys.modules, "cupy", None)


@pytest.mark.usefixtures("no_cupy")
@pytest.mark.parametrize(
    "call",
    [
        lambda: mp_nms(LABELS, 3, 0.1, backend="cuda"),
        lambda: deduplicate(np.zeros((1, 3)), [1.0], 1.0, backend="cuda"),
        lambda: assemble(
            np.zeros((2, 4, 4, 4), np.float32),
            *[np.zeros((4, 4, 4), np.uint8) for _ in range(2)],
            *[(0, 0, 0), (0, 0, 0), (4, 4, 4)],
            t_seg=0.5,
            joint=True,
            backend="cuda",
        ),
    ],
)
def test_cuda_without_cupy_says_what_to_do(call):
    with pytest.raises(BackendError, match=r"need CuPy.*dep\[gpu\].*backend='c'"):
        call()


def test_cuda_without_a_device_says_so(monkeypatch):
    """CuPy that finds no driver, and one that finds fewer devices than asked for."""
    from dep.kernels.cuda import cupy_device

    class CUDARuntimeError(RuntimeError):
        pass

    def fails():
        message = "cudaErrorNoDevice"
        raise CUDARuntimeError(message)

    runtime = SimpleNamespace(getDeviceCount=fails, CUDARuntimeError=CUDARuntimeError)
    cupy = SimpleNamespace(cuda=SimpleNamespace(runtime=runtime))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    with pytest.raises(BackendError, match=r"no CUDA device can be used.*NoDevice"):
        cupy_device.CupyDevice()
    runtime.getDeviceCount = lambda: 1
    with pytest.raises(BackendError, match=r"device 1 was asked for, found 1"):
        cupy_device.CupyDevice(1)
