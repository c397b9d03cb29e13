"""`dep relion-metrics fsc` against RELION's own `relion_postprocess`, on the same maps.

    python benchmarks/relion_fsc.py [--seeds N] [--folder DIR]

Makes half maps of 96^3 voxels (a ball of signal that falls off with frequency, and
noise of its own for each half) and three masks: a soft ball, a hard ball, and a hard
and rough one. Both programs compute the curves with N seeds of the random phases.
Compared are

* the unmasked and the masked FSC, as dep has them, and counted as RELION counts: it
  sums over half a spectrum, in which the plane x = 0 holds both of each conjugate pair
  and the others one of them, so that this plane weighs twice;
* the FSC of masked maps with random phases, which differs by seed: the difference of
  the two programs' means, in standard errors, over shells; and
* the resolutions at 0.143.

Needs `relion_postprocess` (Debian: the package relion).
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import gemmi
import mrcfile
import numpy as np
from numpy.typing import NDArray

from dep.engine.relion_metrics import ball_mask, gold_standard
from dep.engine.relion_metrics.shells import Map, Shape, how_many, shell_plane

EDGE, VOXEL = 96, 2.0
SHAPE: Shape = (EDGE, EDGE, EDGE)
COLUMNS = {
    "unmasked": "rlnFourierShellCorrelationUnmaskedMaps",
    "masked": "rlnFourierShellCorrelationMaskedMaps",
    "random": "rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps",
    "corrected": "rlnFourierShellCorrelationCorrected",
}
Curves = dict[str, NDArray[np.float64]]


def filtered(voxels: NDArray[np.float64], gain: NDArray[np.float64]) -> Map:
    """Multiply a map's spectrum."""
    spectrum = np.fft.rfftn(voxels) * gain
    return np.fft.irfftn(spectrum, SHAPE, axes=(0, 1, 2)).astype(np.float32)


def make_maps() -> tuple[list[Map], dict[str, Map]]:
    """Make two half maps, and masks by name."""
    rng = np.random.default_rng(1)
    k = np.fft.fftfreq(EDGE)
    length = np.sqrt(
        k[:, None, None] ** 2 + k[:, None] ** 2 + np.fft.rfftfreq(EDGE) ** 2
    )
    body = ball_mask(SHAPE, 26.0)
    signal = filtered(
        rng.normal(size=SHAPE) * body, 12 * np.exp(-((length / 0.1) ** 2))
    )
    signal += body
    z, y, x = np.indices(SHAPE) - EDGE // 2
    radius = np.sqrt(z**2 + y**2 + x**2)
    lumps = filtered(rng.normal(size=SHAPE), (length < 0.12).astype(float))
    rough = radius / EDGE + 0.05 * lumps / lumps.std() < 0.26
    halves = [(signal + rng.normal(size=SHAPE)).astype(np.float32) for _ in range(2)]
    masks = {
        "soft": ball_mask(SHAPE, 30.0),
        "hard": (radius < 26).astype(np.float32),
        "rough": rough.astype(np.float32),
    }
    return halves, masks


def counted_as_relion(first: Map, second: Map) -> NDArray[np.float64]:
    """Compute the FSC over half a spectrum, each of its frequencies once."""
    a, b = np.fft.rfftn(first.astype(float)), np.fft.rfftn(second.astype(float))
    sums = np.zeros((3, how_many(SHAPE)))
    for z in range(EDGE):
        shell = shell_plane(SHAPE, z)
        inside = shell < sums.shape[1]
        values = ((a[z] * b[z].conj()).real, np.abs(a[z]) ** 2, np.abs(b[z]) ** 2)
        for total, value in zip(sums, values, strict=True):
            total += np.bincount(shell[inside], value[inside], sums.shape[1])
    result: NDArray[np.float64] = sums[0] / np.sqrt(sums[1] * sums[2])
    return result


def relion(folder: Path, mask: str, seed: int) -> tuple[Curves, float]:
    """Run RELION; give its curves and its resolution."""
    out = folder / f"{mask}{seed}"
    out.mkdir()
    words = ["relion_postprocess", "--i", "run_half1_class001_unfil.mrc"]
    words += ["--mask", f"{mask}.mrc", "--angpix", str(VOXEL), "--force_mask"]
    words += ["--random_seed", str(seed), "--o", f"{out}/p"]
    subprocess.run(words, cwd=folder, check=True, capture_output=True)
    document = gemmi.cif.read(str(out / "p.star"))
    block = document.find_block("fsc")
    curves = {
        name: np.array([float(word) for word in block.find_loop("_" + column)])
        for name, column in COLUMNS.items()
    }
    general = document.find_block("general")
    return curves, float(general.find_value("_rlnFinalResolution"))


def write(path: Path, voxels: Map) -> None:
    """Write a map."""
    with mrcfile.new(path) as mrc:
        mrc.set_data(voxels)
        mrc.voxel_size = VOXEL


def compare(folder: Path, seeds: int) -> None:
    """Print a row for each mask."""
    halves, masks = make_maps()
    for number, half in enumerate(halves, start=1):
        write(folder / f"run_half{number}_class001_unfil.mrc", half)
    sys.stdout.write(
        "| mask | unmasked, masked: largest difference | counted as RELION | random: "
        "mean and deviation of z | corrected: mean difference | Å at 0.143, RELION | "
        "dep |\n|---|---|---|---|---|---|---|\n"
    )
    for name, mask in masks.items():
        write(folder / f"{name}.mrc", mask)
        theirs = [relion(folder, name, seed) for seed in range(1, seeds + 1)]
        ours = [
            gold_standard(*halves, VOXEL, mask, seed=seed)
            for seed in range(1, seeds + 1)
        ]
        start = ours[0].randomised_from
        assert start is not None
        beyond = slice(start + 2, None)
        plain, same = [], []
        for what, pair in (
            ("unmasked", halves),
            ("masked", [half * mask for half in halves]),
        ):
            reference = theirs[0][0][what]
            plain.append(np.abs(ours[0].curves[what] - reference).max())
            same.append(np.abs(counted_as_relion(*pair) - reference).max())
        a = np.array([curves["random"][beyond] for curves, _ in theirs])
        b = np.array([one.curves["random"][beyond] for one in ours])
        error = np.sqrt((a.var(0, ddof=1) + b.var(0, ddof=1)) / seeds)
        z = (b.mean(0) - a.mean(0)) / error
        off = np.mean(
            [one.curves["corrected"][beyond] for one in ours], axis=0
        ) - np.mean([curves["corrected"][beyond] for curves, _ in theirs], axis=0)
        found = [one.resolution().angstrom or np.inf for one in ours]
        their = [resolution for _, resolution in theirs]
        sys.stdout.write(
            f"| {name} | {plain[0]:.4f}, {plain[1]:.4f} | {max(same):.1g} "
            f"| {z.mean():+.2f}, {z.std():.2f} | {off.mean():+.3f} "
            f"| {min(their):.2f} to {max(their):.2f} "
            f"| {min(found):.2f} to {max(found):.2f} |\n"
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=6, help="of the random phases")
    parser.add_argument("--folder", type=Path, help="to keep maps and RELION's files")
    options = parser.parse_args()
    if shutil.which("relion_postprocess") is None:
        sys.exit("relion_postprocess is not installed (Debian: apt install relion)")
    if options.folder is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
        compare(options.folder.resolve(), options.seeds)
        return
    with tempfile.TemporaryDirectory() as folder:
        compare(Path(folder), options.seeds)


if __name__ == "__main__":
    main()
