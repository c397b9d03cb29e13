"""Which machine it is: GPU, driver, CUDA, processor, versions, commit."""

import ctypes
import os
import platform
import re
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

from gpu.context import Context
from gpu.machine import gpu_missing

# What is asked of nvidia-smi, and what it is called here.
ASKED = {
    "name": "gpu",
    "compute_cap": "compute capability",
    "memory.total": "memory",
    "memory.used": "memory in use",
    "driver_version": "driver",
    "clocks.max.sm": "clock at most",
    "power.limit": "power limit",
    "mig.mode.current": "MIG",
}
DISTRIBUTIONS = (
    r"numpy|torch|triton|cupy.*|onnx|onnxscript|onnxruntime.*|tensorrt.*|openvino|"
    r"pytest|hypothesis|mrcfile|gemmi|pydantic|nvidia-cudnn.*|nvidia-cuda-(nvrtc|runtime).*"
)


def run(context: Context) -> None:
    """Look around; needs nothing."""
    context.value("gpu there", gpu_missing() or "yes")
    for name, value in from_nvidia_smi().items():
        context.value(name, value)
    if version := cuda_of_driver():
        context.value("CUDA of the driver", version)
    context.value("nvcc", first_line("nvcc", "--version", at=-1) or "not found")
    sanitizer = shutil.which("compute-sanitizer")
    context.value("compute-sanitizer", sanitizer or "not found")
    context.value("processor", processor())
    context.value("cores", len(os.sched_getaffinity(0)))
    context.value("system", platform.platform())
    context.value("python", platform.python_version())
    commit = first_line("git", "-C", str(context.root), "rev-parse", "HEAD")
    context.value("commit", commit or "not known")
    changes = _said("git", "-C", str(context.root), "status", "--porcelain", "-uno")
    context.value("files changed since", len(changes.splitlines()))
    for name, version in sorted(versions().items()):
        context.row("installed", distribution=name, version=version)


def versions() -> dict[str, str]:
    """Give the versions of what matters, as installed; nothing is imported."""
    wanted = re.compile(DISTRIBUTIONS, re.IGNORECASE)
    found = {}
    for one in metadata.distributions():
        name = one.metadata["Name"]
        if name and wanted.fullmatch(name):
            found.setdefault(name, one.version)
    return found


def from_nvidia_smi() -> dict[str, str]:
    """Ask nvidia-smi of the first GPU; what it does not know is left out."""
    found = {}
    for asked, name in ASKED.items():
        line = first_line(
            "nvidia-smi", f"--query-gpu={asked}", "--format=csv,noheader", "--id=0"
        )
        if line and not line.startswith("["):
            found[name] = line
    return found


def cuda_of_driver() -> str:
    """Give the CUDA version that the driver serves; empty without a driver."""
    version = ctypes.c_int()
    try:
        state = ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
    except OSError:
        return ""
    return "" if state else f"{version.value // 1000}.{version.value % 1000 // 10}"


def processor() -> str:
    """Name the processor."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    found = re.search(r"model name\s*:\s*(.+)", text)
    return found[1] if found else platform.processor()


def first_line(*command: str, at: int = 0) -> str:
    """Give one line of what a command says; empty where it fails or is not there."""
    lines = _said(*command).strip().splitlines()
    return lines[at].strip() if lines else ""


def _said(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "" if done.returncode else done.stdout
