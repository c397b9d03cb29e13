"""A `Device` without a GPU: the .cu files compiled as C++, their threads as fibres.

Every array lies between guard zones, which are looked at after each launch, and `empty`
arrays hold garbage, so that a write out of bounds and a read of what was never written
both show.
"""

import ctypes
import itertools
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np

from dep.kernels.cuda.device import SOURCES, kernel_files

HEADER = Path(__file__).parent / "cuda_shim.h"
GUARD = 4096  # bytes on either side of an array
BYTE = 0x5A
GRID = (2**31 - 1, 65535, 65535)  # what a device takes
FLAGS = [
    *("-std=c++20", "-O1", "-fPIC", "-shared", "-U_FORTIFY_SOURCE"),
    *("-fno-strict-aliasing", "-ffp-contract=off", "-fwrapv"),
    *("-Wno-attributes", "-Wno-unknown-pragmas", "-Wno-subobject-linkage"),
]


class ShimError(AssertionError):
    """A fault that a device would not have told."""


def compile_kernels(folder, sources=SOURCES, change=None, only=None):
    """Compile the kernels, each file for itself.

    Parameters
    ----------
    folder
        For what is made on the way.
    sources
        Where the .cu files are.
    change
        Takes a file's name and text, and gives the text to compile.
    only
        Compile what depends on this file alone; headers are included by all.

    Returns
    -------
    dict
        Kernel name -> library.
    """
    for header in sources.glob("*.cuh"):
        text = header.read_text(encoding="utf-8")
        if change is not None:
            text = change(header.name, text)
        (folder / header.name).write_text(text, encoding="utf-8")
    files = kernel_files(sources)
    libraries = {}
    for path in sorted(set(files.values())):
        if only is not None and only.endswith(".cu") and path.name != only:
            continue
        names = [name for name, where in files.items() if where == path]
        loaded = _compile(folder, path, names, change)
        for name in names:
            getattr(loaded, f"launch_{name}").restype = ctypes.c_char_p
            getattr(loaded, f"signature_{name}").restype = ctypes.c_char_p
            libraries[name] = loaded
    return libraries


def _compile(folder, path, names, change):
    text = path.read_text(encoding="utf-8")
    if change is not None:
        text = change(path.name, text)
    unit, library = folder / f"{path.stem}.cpp", folder / f"{path.stem}.so"
    unit.write_text(
        f'#include "{HEADER}"\n#line 1 "{path}"\n{text}\n'
        + "".join(f"SHIM_KERNEL({name})\n" for name in names),
        encoding="utf-8",
    )
    done = subprocess.run(
        [shutil.which("g++"), *FLAGS, f"-I{folder}", str(unit), "-o", str(library)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(library))


class ShimArray(np.ndarray):
    """Device memory: only the device may look into it."""

    def __array_finalize__(self, whole):
        self.guarded = getattr(whole, "guarded", None)


class ShimDevice:
    """Runs launches at once, in an order of threads that changes from launch to launch.

    Parameters
    ----------
    libraries
        Of `compile_kernels`.
    orders
        In which threads run: 0 rising, 1 falling, others shuffled.
    """

    name = "the processor (shim)"

    def __init__(self, libraries, orders=(0, 1, 12345)):
        self._libraries = libraries
        self._orders = itertools.cycle(orders)
        self._memory = []
        self.launches = []

    def empty(self, shape, dtype):
        """Make an array that holds garbage."""
        dtype = np.dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        memory = np.full(size + 2 * GUARD, BYTE, np.uint8)
        inner = memory[GUARD : GUARD + size]
        inner[:] = 0xA7
        self._memory.append((memory, size))
        return inner.view(dtype).reshape(tuple(shape)).view(ShimArray)

    def zeros(self, shape, dtype):
        """Make an array of zeros."""
        array = self.empty(shape, dtype)
        array[...] = 0
        return array

    def upload(self, host):
        """Copy an array."""
        array = self.empty(host.shape, host.dtype)
        array[...] = host
        return array

    def adopt(self, array):
        """Copy another library's array: nothing is on a device here."""
        told = array.__cuda_array_interface__
        address, size = told["data"][0], int(np.prod(told["shape"]))
        memory = (ctypes.c_uint8 * size).from_address(address) if size else b""
        return self.upload(
            np.frombuffer(memory, told["typestr"]).reshape(told["shape"])
        )

    def download(self, array):
        """Copy an array back."""
        return np.array(array, subok=False)

    def synchronize(self):
        """Nothing waits here."""

    def launch(self, kernel, grid, block, args, shared=0):
        """Run a kernel and look whether it kept to its arrays."""
        assert shared == 0, "no kernel takes dynamic shared memory"
        assert all(1 <= n <= top for n, top in zip(grid, GRID, strict=True)), grid
        assert np.prod(block) <= 1024, block
        library = self._libraries[kernel]
        wanted = getattr(library, f"signature_{kernel}")().decode().split()
        assert len(wanted) == len(args), f"{kernel}: {len(wanted)} parameters"
        held = []
        for number, (want, given) in enumerate(zip(wanted, args, strict=True)):
            kind, size = re.fullmatch(r"([pif])(\d+)", want).groups()
            place = f"{kernel}: argument {number}"
            if kind == "p":
                assert isinstance(given, ShimArray), f"{place} is no device array"
                assert given.flags.c_contiguous
                if int(size) <= 8:
                    assert given.dtype.itemsize == int(size), f"{place}: {given.dtype}"
                else:  # structs live in bytes
                    assert given.dtype == np.uint8, place
                    assert given.nbytes % int(size) == 0, place
                held.append(ctypes.c_void_p(given.ctypes.data))
            else:
                assert isinstance(given, np.generic), f"{place} has no exact type"
                assert given.dtype.itemsize == int(size), f"{place}: {given.dtype}"
                assert (given.dtype.kind == "f") == (kind == "f"), place
                held.append(
                    (ctypes.c_char * given.dtype.itemsize).from_buffer_copy(
                        given.tobytes()
                    )
                )
        pointers = (ctypes.c_void_p * len(held))(
            *[ctypes.cast(ctypes.pointer(one), ctypes.c_void_p) for one in held]
        )
        fault = getattr(library, f"launch_{kernel}")(
            (ctypes.c_uint * 3)(*grid),
            (ctypes.c_uint * 3)(*block),
            pointers,
            ctypes.c_uint(next(self._orders)),
        )
        self.launches.append(kernel)
        if fault is not None:
            msg = f"{kernel}: {fault.decode()}"
            raise ShimError(msg)
        for memory, size in self._memory:
            if (memory[:GUARD] != BYTE).any() or (memory[GUARD + size :] != BYTE).any():
                msg = f"{kernel}: wrote beyond an array of {size} bytes"
                raise ShimError(msg)

    def forget(self):
        """Let go of all arrays."""
        self._memory.clear()
