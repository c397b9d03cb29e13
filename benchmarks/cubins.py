"""Compiles every CUDA kernel for every architecture dep serves; notes what it takes.

    python benchmarks/cubins.py           # a table, and benchmarks/results/cubins.json
    python benchmarks/cubins.py --check   # the table only

Takes nvcc where it is installed; else NVRTC, which CuPy uses as well, through
`cuda.core` (which says nothing of registers). No device is needed.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from dep.kernels.cuda.device import SOURCES, kernel_files

ARCHITECTURES = ("75", "80", "86", "89", "90", "100", "120")
# Those of cupy_device.py, and what CuPy adds.
FLAGS = ("-std=c++17", "--fmad=false", f"-I{SOURCES}", "-ftz=true")
RESULTS = Path(__file__).resolve().parent / "results" / "cubins.json"
_ENTRY = re.compile(r"Compiling entry function '(\w+)' for 'sm_(\d+)a?'")
_SPILL = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+)")
_USED = re.compile(r"Used (\d+) registers")
_SHARED = re.compile(r"(\d+) bytes smem")


def by_nvcc(path: Path, architecture: str) -> dict[str, dict[str, int]]:
    """Compile a file; give registers, spills and shared memory of each kernel."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [
                "nvcc",
                *FLAGS,
                f"-arch=sm_{architecture}",
                *("-cubin", "-Werror", "all-warnings", "-Xptxas", "-v"),
                *("-o", f"{folder}/out.cubin", str(path)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        message = f"{path.name} for sm_{architecture}: {done.stderr}"
        raise RuntimeError(message)
    found: dict[str, dict[str, int]] = {}
    name = ""
    for line in done.stderr.splitlines():
        if entry := _ENTRY.search(line):
            name = entry[1]
            found[name] = {"registers": 0, "spilled_bytes": 0, "shared_bytes": 0}
        elif name and (spill := _SPILL.search(line)):
            found[name]["spilled_bytes"] = int(spill[2]) + int(spill[3])
        elif name and (used := _USED.search(line)):
            found[name]["registers"] = int(used[1])
            if shared := _SHARED.search(line):
                found[name]["shared_bytes"] = int(shared[1])
    return found


def by_nvrtc(path: Path, architecture: str) -> dict[str, dict[str, int]]:
    """Compile a file as CuPy does; its kernels, without numbers."""
    from cuda.core import Program, ProgramOptions

    options = ProgramOptions(
        arch=f"sm_{architecture}",
        std="c++17",
        fma=False,
        ftz=True,
        include_path=str(SOURCES),
    )
    code = path.read_text(encoding="utf-8")
    Program(code, code_type="c++", options=options).compile("cubin")
    return {name: {} for name, where in kernel_files().items() if where == path}


def compile_all(jobs: int = 2) -> dict[str, dict[str, dict[str, int]]]:
    """Compile everything; give kernel -> architecture -> what it takes.

    Raises
    ------
    RuntimeError
        A kernel does not compile, or warns; or there is no compiler.
    """
    if shutil.which("nvcc"):
        one = by_nvcc
    else:
        try:
            import cuda.core  # noqa: F401 - asks whether it is there
        except ImportError as error:
            message = "neither nvcc nor cuda.core (NVRTC) is installed"
            raise RuntimeError(message) from error
        one = by_nvrtc
    work = [
        (path, architecture)
        for path in sorted(set(kernel_files().values()))
        for architecture in ARCHITECTURES
    ]
    table: dict[str, dict[str, dict[str, int]]] = {}
    with ThreadPoolExecutor(jobs) as pool:
        results = pool.map(lambda item: one(*item), work)
        for (_, architecture), found in zip(work, results, strict=True):
            for name, numbers in found.items():
                table.setdefault(name, {})[f"sm_{architecture}"] = numbers
    return table


def main() -> None:
    """Compile, show and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write no file")
    options = parser.parse_args()
    table: dict[str, Any] = compile_all()
    for name, by_architecture in table.items():
        sys.stdout.write(f"{name}\n")
        for architecture, numbers in by_architecture.items():
            words = ", ".join(f"{value} {key}" for key, value in numbers.items())
            sys.stdout.write(f"    {architecture:7} {words}\n")
    if not options.check:
        RESULTS.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
