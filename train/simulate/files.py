"""Simulate tomograms into files: MRC, truth and settings, whole or not at all."""

import contextlib
import csv
import json
import multiprocessing
import os
import secrets
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import mrcfile  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

import dep
from dep.engine.errors import DepError, SettingError
from dep.train.simulate.molecule import Molecule
from dep.train.simulate.settings import SimulationSettings
from dep.train.simulate.simulation import Simulation, simulate
from dep.train.simulate.specimen import load_molecules

COLUMNS = ("class", "class_id", "x", "y", "z", "rot", "tilt", "psi", "instance")
# One standard deviation in 8-bit steps: gold reaches the ends, molecules do not.
INT8_STEPS = 16.0

Kind = Literal["int8", "float32"]
# Called with (share of the tomogram done, its name) by the calling process.
Progress = Callable[[float, str], None]


class SimulationError(DepError):
    """A simulation that failed, or whose files cannot be written."""


@dataclass(frozen=True, slots=True)
class Written:
    """One simulated tomogram on the disk.

    Attributes
    ----------
    tomogram, truth, record : Path
        MRC, CSV and JSON.
    particles : int
        How many molecules were placed.
    missing : dict of str to int
        By class: how many found no room.
    snr : float
        Of the tomogram.
    """

    tomogram: Path
    truth: Path
    record: Path
    particles: int
    missing: dict[str, int]
    snr: float


@dataclass(frozen=True, slots=True)
class _Task:
    """What one process needs to make one tomogram."""

    settings: SimulationSettings
    seed: int
    stem: Path
    kind: Kind


def simulate_files(
    settings: SimulationSettings,
    out: Path | str,
    *,
    count: int = 1,
    seed: int = 0,
    name: str = "sim",
    kind: Kind = "int8",
    jobs: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[Written]:
    """Simulate `count` tomograms with consecutive seeds into a folder.

    ``NAME_0007.mrc``, ``.csv`` and ``.json`` are those of seed 7. What a file holds
    depends on the settings and its seed, not on `jobs`.

    Raises
    ------
    SettingError
        Molecules that cannot be used, an unknown kind, or files that are there.
    SimulationError
        A process that ended unexpectedly, or files that cannot be written.
    """
    if kind not in ("int8", "float32"):
        message = f"kind: expected int8 or float32, found {kind!r}"
        raise SettingError(message)
    if count < 1 or seed < 0 or jobs < 1:
        message = (
            "expected a count and jobs of at least 1 and a seed of at least 0; found "
            f"count {count}, jobs {jobs}, seed {seed}"
        )
        raise SettingError(message)
    tasks = [
        _Task(settings, number, Path(out) / f"{name}_{number:04d}", kind)
        for number in range(seed, seed + count)
    ]
    there = [path for task in tasks for path in _paths(task.stem) if path.exists()]
    if there and not overwrite:
        message = (
            f"{there[0]}: is there already"
            f"{f' (and {len(there) - 1} more)' if len(there) > 1 else ''}; choose "
            "another folder or seed, or overwrite"
        )
        raise SettingError(message)
    # What is wrong with a molecule is found before anything is begun.
    specimen = settings.specimen
    molecules = load_molecules(specimen.molecules, specimen.voxel_size)
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(Path(out), error) from error
    if jobs == 1 or count == 1:
        return [_make(task, progress, molecules) for task in tasks]
    return _in_parallel(tasks, min(jobs, count), progress)


def _in_parallel(
    tasks: Sequence[_Task], jobs: int, progress: Progress | None
) -> list[Written]:
    """Make tomograms in processes of their own; whatever ends this one ends them."""
    context = multiprocessing.get_context("spawn")
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_prepare_worker)
    done: dict[int, Written] = {}
    waiting: dict[Future[Written], int] = {}
    try:
        waiting.update({pool.submit(_work, task): task.seed for task in tasks})
        for future in as_completed(waiting):
            number = waiting[future]
            done[number] = future.result()
            if progress is not None:
                progress(1.0, done[number].tomogram.stem)
    except BaseException as error:
        for future in waiting:
            future.cancel()
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        pool.shutdown()
        if isinstance(error, BrokenProcessPool):
            message = (
                "a process of the simulation ended unexpectedly: for want of memory "
                "(use fewer jobs), or because a script that calls this with jobs > 1 "
                'does so outside of `if __name__ == "__main__":`'
            )
            raise SimulationError(message) from error
        raise
    pool.shutdown()
    return [done[task.seed] for task in tasks]


def _prepare_worker() -> None:
    """Leave Ctrl-C to the calling process; tidy up when it asks to end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def _work(task: _Task) -> Written:
    """Make a tomogram in a process of the pool.

    The pool would take SystemExit for a result and hand out the next task; the process
    must end, and its unfinished files are gone by now.
    """
    try:
        return _make(task)
    except SystemExit:
        os._exit(1)


def _make(
    task: _Task,
    progress: Progress | None = None,
    molecules: Sequence[Molecule] | None = None,
) -> Written:
    label = task.stem.name

    def show(done: int, total: int) -> None:
        if progress is not None:
            progress(done / total, label)

    result = simulate(task.settings, seed=task.seed, molecules=molecules, progress=show)
    return write(result, task.stem, kind=task.kind)


def write(simulation: Simulation, stem: Path | str, *, kind: Kind = "int8") -> Written:
    """Write STEM.mrc, STEM.csv and STEM.json, all of them or none.

    Raises
    ------
    SimulationError
        They cannot be written; says why.
    """
    paths = _paths(Path(stem))
    voxels, scale = _voxels(simulation.tomogram, kind)
    facts = {"software": f"dep {dep.__version__}", **simulation.facts(), **scale}
    try:
        with _all_or_none(paths) as (volume, truth, record):
            _write_mrc(volume, voxels, simulation)
            truth.write_text(_table(simulation), encoding="utf-8")
            record.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise _unwritable(paths[0].parent, error) from error
    molecules = len(simulation.sample.molecules)
    return Written(
        *paths,
        particles=int((simulation.bodies.class_id <= molecules).sum()),
        missing=simulation.sample.missing,
        snr=simulation.snr,
    )


def _paths(stem: Path) -> tuple[Path, Path, Path]:
    volume, truth, record = (
        stem.with_name(stem.name + suffix) for suffix in (".mrc", ".csv", ".json")
    )
    return volume, truth, record


@contextlib.contextmanager
def _all_or_none(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Give names to write to; the files take their own once all are complete."""
    mark = secrets.token_hex(4)
    parts = [path.with_name(f".{path.name}.{mark}.part") for path in paths]
    try:
        yield parts
        # The tomogram last: whoever finds it finds its truth.
        for part, path in reversed(list(zip(parts, paths, strict=True))):
            part.replace(path)
    except BaseException:
        for part in parts:
            with contextlib.suppress(OSError):  # what went wrong before matters more
                part.unlink()
        raise


def _voxels(
    tomogram: NDArray[np.float32], kind: Kind
) -> tuple[NDArray[Any], dict[str, float]]:
    """Give the voxels as stored, and the factor from the tomogram's values to them."""
    if kind == "float32":
        return tomogram, {"scale": 1.0, "offset": 0.0}
    offset = float(tomogram.mean(dtype=np.float64))
    spread = float(tomogram.std(dtype=np.float64))
    scale = INT8_STEPS / spread if spread > 0 else 1.0
    steps = np.rint((tomogram - np.float32(offset)) * np.float32(scale))
    stored = np.clip(steps, -127, 127).astype(np.int8)
    return stored, {"scale": scale, "offset": offset}


def _write_mrc(path: Path, voxels: NDArray[Any], simulation: Simulation) -> None:
    with mrcfile.new(path) as mrc:
        mrc.set_data(voxels)
        mrc.voxel_size = simulation.voxel_size
        mrc.set_volume()
        # In place of mrcfile's own label, which holds the time: the same simulation
        # gives the same file.
        mrc.header.label[0] = f"dep simulate, seed {simulation.seed}".encode()
        mrc.header.nlabl = 1


def _table(simulation: Simulation) -> str:
    stream = StringIO()
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(COLUMNS)
    bodies = simulation.bodies
    for number, (kind, xyz, angles) in enumerate(
        zip(bodies.class_id, bodies.xyz, bodies.angles, strict=True), start=1
    ):
        values = (f"{value:.3f}" for value in (*xyz, *angles))
        rows.writerow((bodies.names[kind - 1], kind, *values, number))
    return stream.getvalue()


def _unwritable(path: Path, error: OSError) -> SimulationError:
    return SimulationError(f"{path}: cannot be written ({error.strerror or error})")
