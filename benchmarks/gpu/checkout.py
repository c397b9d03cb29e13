"""Makes `dep` importable from the checkout, where it is not installed.

Nothing is installed but wheels that were brought along, into a folder of the check's
own, and nothing is written to the checkout. What other modules lack for `dep` to be
imported at all is stood in for (`standins`), and the report says so.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

STANDINS = Path(__file__).resolve().parent / "standins"
PATIENCE = 90  # seconds for all of the preparation
# What is looked for, and reported; those with a stand-in are imported by dep or by its
# tests at the top of a module.
LIBRARIES = ("numpy", "cupy", "torch", "pytest", "onnx", "onnxscript", "onnxruntime")
LIBRARIES += ("tensorrt", "tensorrt_rtx", "pydantic", "mrcfile", "gemmi", "hypothesis")
STOOD_IN_FOR = ("hypothesis", "mrcfile")

_FIND = """
import json, sys
from importlib.util import find_spec
print(json.dumps([name for name in sys.argv[1:] if find_spec(name) is None]))
"""
_WHERE = """
import dep, os
print(os.path.realpath(dep.__file__))
"""
_CORE = """
import dep.kernels._c
print("there")
"""


class Commands:
    """Runs commands until the time for all of them is over."""

    def __init__(self, seconds: float = PATIENCE) -> None:
        self._end = time.monotonic() + seconds

    def run(
        self, command: list[str], environment: Mapping[str, str], *, errors: bool = True
    ) -> tuple[int, str]:
        """Run a command; give its exit status and what it said."""
        try:
            done = subprocess.run(
                command,
                env=dict(environment),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if errors else subprocess.DEVNULL,
                text=True,
                errors="replace",
                timeout=max(0.1, self._end - time.monotonic()),
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return 1, str(error)
        return done.returncode, done.stdout

    def python(self, program: str, environment: Mapping[str, str], *words: str) -> str:
        """Give what a program in Python prints; empty where it fails."""
        command = [sys.executable, "-P", "-c", program, *words]
        state, said = self.run(command, environment, errors=False)
        return "" if state else said.strip()


def prepare(
    root: Path, scratch: Path, wheels: Path | None, said: dict[str, Any]
) -> dict[str, str]:
    """Give the environment variables with which parts find all they can.

    Parameters
    ----------
    root
        The checkout.
    scratch
        Where to put what has to be made.
    wheels
        A folder of wheels to install there.
    said
        Gets what was possible, in words.
    """
    commands = Commands()
    folders = [root / "benchmarks"]
    environment = {
        **os.environ,
        "PATH": _search_path(),
        # Caches of this run alone: what is timed as the first time is one.
        "CUPY_CACHE_DIR": str(scratch / "cupy"),
        "DEP_CACHE": str(scratch / "dep-cache"),
        "TORCHINDUCTOR_CACHE_DIR": str(scratch / "inductor"),
        "TRITON_CACHE_DIR": str(scratch / "triton"),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(scratch / "hypothesis"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    said["python"] = f"{sys.version.split()[0]}, {sys.executable}"

    def visible() -> dict[str, str]:
        path = [str(folder) for folder in folders]
        path += [one for one in [os.environ.get("PYTHONPATH")] if one]
        return {**environment, "PYTHONPATH": os.pathsep.join(path)}

    if wheels is not None:
        site = scratch / "site"
        said["wheels"] = install(wheels, site, commands)
        folders.insert(0, site)
    missing = _missing(commands, visible())
    said["not installed"] = ", ".join(missing) or "nothing that is looked for"
    absent = [name for name in STOOD_IN_FOR if name in missing]
    if absent:
        # Last: should one turn up after all, it is the one that counts.
        folders.append(_standins(absent, scratch / "standins"))
        said["stand-ins"] = f"{', '.join(absent)}: see benchmarks/gpu/standins"
    where = commands.python(_WHERE, visible())
    ours = str((root / "engine" / "_dep" / "__init__.py").resolve())
    said["dep"] = "installed from this checkout"
    if where != ours or not _has_core(commands, visible()):
        made = link(root, scratch / "package")
        folders.insert(0, made)
        said["dep"] = "imported from the checkout by links" + (
            f", and not from {where}, where another is installed"
            if where not in ("", ours)
            else ""
        )
        if not _has_core(commands, visible()):
            kernels = made / "dep" / "kernels"
            said["compiled core"] = compile_core(root, kernels, commands)
    if _has_core(commands, visible()):
        said.setdefault("compiled core", "there")
    return visible()


def install(wheels: Path, site: Path, commands: Commands) -> str:
    """Install wheels into a folder; says which were, and which were not and why."""
    found = sorted(wheels.glob("*.whl"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index"]
    command += ["--no-deps", "--disable-pip-version-check", "--no-compile"]
    command += ["--find-links", str(wheels), "--target", str(site)]
    refused = {}
    if commands.run([*command, *map(str, found)], os.environ)[0]:
        # One that does not fit this machine stops all: then each by itself.
        for wheel in found:
            state, words = commands.run([*command, "--upgrade", str(wheel)], os.environ)
            if state:
                refused[wheel.name] = (words.strip().splitlines() or ["?"])[-1]
    words = f"{len(found) - len(refused)} of {len(found)} installed"
    for name, why in refused.items():
        words += f"; {name}: {why}"
    return words


def link(root: Path, folder: Path) -> Path:
    """Make a package `dep` of links to the checkout; `kernels` has room for the core.

    Returns
    -------
    Path
        The folder to look for `dep` in.
    """
    package = folder / "dep"
    kernels = package / "kernels"
    kernels.mkdir(parents=True)
    for name in ("engine", "train", "export", "cli"):
        (package / name).symlink_to(root / name)
    (package / "__init__.py").symlink_to(root / "engine" / "_dep" / "__init__.py")
    for entry in (root / "kernels").iterdir():
        if entry.name != "__pycache__":
            (kernels / entry.name).symlink_to(entry)
    return folder


def core_command(compiler: str, root: Path, target: Path) -> list[str]:
    """Give the command that compiles the C core, as pyproject.toml describes it."""
    document = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    (core,) = document["tool"]["setuptools"]["ext-modules"]
    return [
        compiler,
        *core["extra-compile-args"],
        "-fPIC",
        "-shared",
        f"-I{sysconfig.get_path('include')}",
        *(f"-I{root / folder}" for folder in core["include-dirs"]),
        *(str(root / source) for source in core["sources"]),
        *core["extra-link-args"],
        *(f"-l{library}" for library in core["libraries"]),
        "-o",
        str(target),
    ]


def compile_core(root: Path, kernels: Path, commands: Commands) -> str:
    """Compile the C core beside the kernels; says how that went."""
    compiler = next(
        (found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))),
        None,
    )
    if compiler is None:
        return "not there, and no C compiler to make it: slow twins stand in for it"
    target = kernels / "_c.abi3.so"
    target.unlink(missing_ok=True)  # a link to one that does not load here
    state, words = commands.run(core_command(compiler, root, target), os.environ)
    if state:
        last = (words.strip().splitlines() or ["no word why"])[-1]
        return f"not there, and {compiler} does not compile it ({last})"
    return f"compiled by {compiler}"


def _standins(names: list[str], folder: Path) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).symlink_to(STANDINS / name)
    return folder


def _search_path() -> str:
    """Add the usual place of CUDA's tools to the path."""
    path = os.environ.get("PATH", os.defpath)
    tools = Path("/usr/local/cuda/bin")
    return f"{path}{os.pathsep}{tools}" if tools.is_dir() else path


def _missing(commands: Commands, environment: Mapping[str, str]) -> list[str]:
    try:
        return list(json.loads(commands.python(_FIND, environment, *LIBRARIES)))
    except ValueError:
        return ["(looking for them failed)"]


def _has_core(commands: Commands, environment: Mapping[str, str]) -> bool:
    return commands.python(_CORE, environment) == "there"
