"""Find out what this machine and this installation can do, for `dep doctor`."""

import ctypes
import os
import platform
import sys
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, cast

from dep.cli.gpu_health import Check, choices, try_gpu

if TYPE_CHECKING:
    from dep.engine.choices import RuntimeName

# Distribution, the extra that brings it, what it is for.
PACKAGES = (
    ("numpy", "", "arrays"),
    ("mrcfile", "", "MRC files"),
    ("gemmi", "", "STAR files"),
    ("typer", "", "commands"),
    ("rich", "", "tables, progress"),
    ("onnxruntime", "cpu", "picking on the CPU"),
    ("openvino", "cpu", "picking on the CPU, fastest"),
    ("cupy-cuda13x", "gpu", "picking on a GPU: all of it"),
    ("onnxruntime-gpu", "gpu", "picking on a GPU: ONNX files"),
    ("tensorrt", "gpu", "picking on a GPU: plans, fastest"),
    ("tensorrt-rtx", "gpu-rtx", "picking on a GPU: plans for RTX cards"),
    ("pillow", "picture", "pictures"),
    ("matplotlib", "plots", "pictures of evaluations, training"),
    ("scipy", "baseline", "dep baseline, dep simulate"),
    ("torch", "train", "training, export"),
    ("onnx", "train", "export"),
    ("onnxscript", "train", "export"),
)

# /proc/cpuinfo flag -> what it is called by people; in the order of their worth.
FEATURES = (
    ("avx2", "AVX2"),
    ("avx512f", "AVX-512"),
    ("avx512_bf16", "AVX-512 BF16"),
    ("amx_bf16", "AMX BF16"),
    ("asimd", "NEON"),
    ("bf16", "ARM BF16"),
)
BF16 = ("AVX-512 BF16", "AMX BF16", "ARM BF16")


@dataclass(frozen=True)
class Package:
    """One distribution that `dep` can use; `version` is None where it is absent."""

    name: str
    version: str | None
    extra: str
    purpose: str


@dataclass(frozen=True)
class Processor:
    """The CPU as this process may use it."""

    model: str
    cores: int
    threads: int
    features: tuple[str, ...]

    @property
    def bf16(self) -> bool:
        """Whether the chip computes in bfloat16."""
        return any(name in self.features for name in BF16)


@dataclass(frozen=True)
class Health:
    """All that `dep doctor` reports."""

    version: str
    python: str
    system: str
    processor: Processor
    gpus: tuple[str, ...]
    gpu_detail: str
    packages: tuple[Package, ...]
    checks: tuple[Check, ...]
    runtimes: tuple[Check, ...]
    gpu_checks: tuple[Check, ...]
    choices: tuple[str, ...]
    advice: tuple[str, ...] = field(default=())

    @property
    def can_pick(self) -> bool:
        """Whether a tomogram can be picked with the bundled model."""
        return all(check.works for check in self.checks) and any(
            runtime.works for runtime in (*self.runtimes, *self.gpu_checks[1:2])
        )


def packages() -> tuple[Package, ...]:
    """Look up which of the packages that `dep` can use are installed."""
    return tuple(
        Package(name, _version(name), extra, purpose)
        for name, extra, purpose in PACKAGES
    )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def processor() -> Processor:
    """Read the CPU's name and features, and how much of it this process may use."""
    from dep.kernels import available_threads

    info = _cpuinfo()
    flags = set(info.get("flags", info.get("Features", "")).split())
    return Processor(
        model=info.get("model name", platform.processor() or platform.machine()),
        cores=os.cpu_count() or 1,
        threads=available_threads(),
        features=tuple(name for flag, name in FEATURES if flag in flags),
    )


def _cpuinfo() -> dict[str, str]:
    """Read Linux's description of the first core; empty elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    first = text.split("\n\n", 1)[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def gpus() -> tuple[tuple[str, ...], str]:
    """Ask NVIDIA's driver for its devices: their names, and what was seen.

    The driver's library is asked directly, so no package need be installed.
    """
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(name)
    except OSError:
        return (), f"no NVIDIA driver ({name} not found)"
    status = driver.cuInit(0)
    if status:
        return (), f"an NVIDIA driver is installed and sees no GPU (cuInit: {status})"
    count, version = ctypes.c_int(), ctypes.c_int()
    driver.cuDeviceGetCount(ctypes.byref(count))
    driver.cuDriverGetVersion(ctypes.byref(version))
    names = []
    for ordinal in range(count.value):
        text = ctypes.create_string_buffer(128)
        driver.cuDeviceGetName(text, len(text), ordinal)
        names.append(text.value.decode(errors="replace"))
    major, minor = version.value // 1000, version.value % 1000 // 10
    return tuple(names), f"driver for CUDA {major}.{minor}, {count.value} GPU(s)"


def examine() -> Health:
    """Look at everything and try what can be tried."""
    from dep import __version__

    cpu, installed = processor(), packages()
    names, detail = gpus()
    checks = (_try_kernels(), _try_model())
    runtimes, gpu_checks = try_runtimes(), try_gpu()
    works = [one.name for one in runtimes if one.works]
    return Health(
        version=__version__,
        python=f"Python {platform.python_version()}",
        system=f"{platform.system()} {platform.machine()}",
        processor=cpu,
        gpus=names,
        gpu_detail=detail,
        packages=installed,
        checks=checks,
        runtimes=runtimes,
        gpu_checks=gpu_checks,
        choices=choices(gpu_checks, works[0] if works else None),
        advice=_advice(cpu, installed, runtimes, names, gpu_checks),
    )


def try_runtimes() -> tuple[Check, ...]:
    """Have every installed runtime compute a tiny network."""
    from dep.cli.probe import compute
    from dep.engine.errors import DepError
    from dep.engine.runtime.choose import installed

    checks = []
    for runtime in installed():
        if runtime.problem:
            checks.append(Check(runtime.name, False, runtime.problem))
            continue
        known = f"{runtime.version}, {' and '.join(runtime.precisions)}"
        try:
            seconds = compute(cast("RuntimeName", runtime.name))
        except DepError as error:
            checks.append(Check(runtime.name, False, f"{known}: {error}"))
        else:
            detail = f"{known}; computed a test tile in {seconds:.2f} s"
            checks.append(Check(runtime.name, True, detail))
    return tuple(checks)


def _try_kernels() -> Check:
    """Find the middle of a block of labels with the compiled kernels."""
    import numpy as np

    from dep.kernels import mp_nms

    labels = np.zeros((9, 9, 9), np.uint8)
    labels[3:6, 3:6, 3:6] = 1
    name = "compiled kernels"
    try:
        found = mp_nms(labels, 1, 0.5, backend="c")
    except (ImportError, RuntimeError) as error:
        return Check(name, False, f"{error}; install dep again with a C compiler")
    right = found.voxel.tolist() == [[4, 4, 4]]
    return Check(name, right, "found the test particle" if right else "wrong result")


def _try_model() -> Check:
    """Read the bundled model's card."""
    from dep.engine.bundled import model_path
    from dep.engine.errors import ModelError
    from dep.engine.model_file import read_card

    try:
        card = read_card(model_path(None))
    except ModelError as error:
        return Check("bundled model", False, str(error))
    facts = f"{card.name}, {len(card.classes)} classes, {card.voxel_size:g} Å voxels"
    return Check("bundled model", True, facts)


def _advice(
    cpu: Processor,
    installed: tuple[Package, ...],
    runtimes: tuple[Check, ...],
    gpu_names: tuple[str, ...],
    gpu_checks: tuple[Check, ...] = (),
) -> tuple[str, ...]:
    """Say what to install, and what for."""
    there = {package.name for package in installed if package.version}
    works = {runtime.name for runtime in runtimes if runtime.works}
    advice = []
    if {"onnxruntime", "onnxruntime-gpu"} <= there:
        advice.append(
            "onnxruntime and onnxruntime-gpu install the same module and break each "
            "other: pip uninstall both, then install one of them"
        )
    if not works:
        advice.append("to pick on the CPU: pip install 'dep[cpu]'")
    elif "openvino" not in works:
        advice.append("to pick faster on this CPU: pip install openvino")
    if cpu.bf16 and "openvino" in works:
        advice.append("this CPU computes bfloat16: dep pick --precision bf16 is faster")
    if gpu_names:
        lacking = [one.name for one in gpu_checks if not one.works]
        if lacking:
            advice.append(
                f"there is a GPU, and {', '.join(lacking)} cannot use it: pip install "
                "'dep[gpu]' (CUDA 13; instead of dep[cpu], not beside it)"
            )
        else:
            advice.append("for this GPU: dep export MODEL.onnx -o MODEL.plan is faster")
    if "pillow" not in there:
        advice.append("for pictures of picks: pip install 'dep[picture]'")
    if not {"torch", "onnx", "onnxscript"} <= there:
        advice.append("to train and export models: pip install 'dep[train]'")
    return tuple(advice)
