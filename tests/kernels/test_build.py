"""The C core: one binary for all Pythons, clean under the sanitizers, dispatched."""

import platform
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from dep.kernels import _c

HERE = Path(__file__).resolve().parent
CORE = HERE.parent.parent / "kernels" / "c"
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-pthread"]


def compiler():
    found = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if found is None:
        pytest.skip("no C compiler here")
    return found


def build(target, *flags):
    """Compile the core with the fuzz driver; the compiler's words if it fails."""
    sources = [str(p) for p in CORE.glob("*.c") if p.name != "module.c"]
    command = [compiler(), *STRICT, *flags, f"-I{CORE}", *sources, HERE / "fuzz.c"]
    return subprocess.run(
        [*command, "-lm", "-o", target], capture_output=True, text=True, check=False
    )


def test_the_extension_keeps_to_the_limited_api():
    name = Path(_c.__file__).name
    if sys.platform != "win32":
        assert ".abi3." in name
    assert "#define Py_LIMITED_API 0x030B0000" in (CORE / "module.c").read_text()


def _tails(package):
    """Give ".c", ".b.c" of "a.b.c"."""
    parts = package.split(".")
    return ["." + ".".join(parts[k:]) for k in range(len(parts) - 1, 0, -1)]


def test_what_is_packaged_is_there():
    root = CORE.parent.parent
    tools = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]
    folders = tools["setuptools"]["package-dir"]
    for package, patterns in tools["setuptools"]["package-data"].items():
        for pattern in patterns:
            # As setuptools finds a folder: that of the nearest package that has one.
            above = [package, *(package[: -len(rest)] for rest in _tails(package))]
            named = next((one for one in above if one in folders), None)
            place = root / folders.get(named, ".")
            if named is not None:
                place /= package[len(named) + 1 :].replace(".", "/")
            found = place.glob(pattern) if package != "*" else place.glob("*/py.typed")
            assert any(found), f"{package}: {pattern} matches no file"


@pytest.mark.skipif(
    platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc",
    reason="run-time dispatch needs x86-64 and glibc",
)
def test_variants_for_newer_processors_are_inside():
    binary = Path(_c.__file__).read_bytes()
    if b"fill_16" not in binary or b"GCC: (" not in binary:
        pytest.skip("not built by gcc, or stripped of its symbols")
    assert b"fill_16.default" in binary
    assert b"fill_16.arch_x86_64_v3" in binary or b"fill_16.avx2" in binary


@pytest.mark.skipif(sys.platform == "win32", reason="no sanitizers")
def test_the_core_is_clean_under_sanitizers_and_the_same_in_every_build(tmp_path):
    checked = tmp_path / "checked"
    # Variants are resolved before the sanitizer is ready: the plain build is tested.
    built = build(
        checked,
        "-O1",
        "-g",
        "-DDEP_NO_CLONES",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
    )
    if built.returncode and "sanit" in built.stderr + built.stdout:
        pytest.skip("the compiler has no sanitizers here")
    assert built.returncode == 0, built.stderr
    dispatched = tmp_path / "dispatched"
    built = build(dispatched, "-O2")
    assert built.returncode == 0, built.stderr
    assert checksum(dispatched) == checksum(checked)


def checksum(program):
    run = subprocess.run(
        [program, "1", "30"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout
