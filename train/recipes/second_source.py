"""Makes a second source of training data for the twelve molecules: our own simulator.

    python train/recipes/second_source.py FOLDER --templates MAPS [--jobs 2]

Writes 24 tomograms with their truth, `sim_1000` to `sim_1023`, each with other
defocus, signal-to-noise ratio, tilt scheme and filter. MAPS holds one density map for
each of the twelve molecules, `1s3x.mrc` and so on. The recipes train on the first 22;
the last two are kept aside (docs/accuracy.md).
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from dep.train.simulate import parse_settings, simulate_files

MOLECULES = [
    "1s3x",
    "3qm1",
    "3gl1",
    "3h84",
    "2cg9",
    "3d2f",
    "1u6g",
    "3cf3",
    "1bxn",
    "1qvr",
    "4cr2",
    "5mrc",
]
COUNT = 24


def make(number: int, folder: Path, maps: Path) -> None:
    """Draw the settings of one tomogram and simulate it."""
    rng = np.random.default_rng([7, number])
    # Drawn in this order: another order would make other tomograms.
    cutoff = float(np.round(rng.uniform(0.45, 1.0), 2))
    snr = float(np.round(np.exp(rng.uniform(np.log(0.1), np.log(0.8))), 3))
    tilt_step = float(rng.choice([2.0, 3.0, 3.0]))
    tilt_range = float(rng.choice([54.0, 60.0, 60.0]))
    phase_flip = bool(rng.random() < 0.3)
    settings = parse_settings(
        {
            "specimen": {
                "size": [256, 256, 128],
                "voxel_size": 10.0,
                "molecules": [str(maps / f"{name}.mrc") for name in MOLECULES],
                "particles": [200, 320],
                "vesicles": [1, 3],
                "gold": [2, 6],
            },
            "acquisition": {
                "snr": snr,
                "dose": [90.0, 130.0],
                "defocus": [1.5, 6.0],
                "shift_error": [1.0, 8.0],
                "tilt_step": tilt_step,
                "tilt_range": tilt_range,
            },
            "reconstruction": {"cutoff": cutoff, "phase_flip": phase_flip},
        }
    )
    simulate_files(settings, folder, seed=1000 + number)


def main() -> None:
    """Make all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--templates", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    with ProcessPoolExecutor(options.jobs) as pool:
        list(
            pool.map(
                make,
                range(COUNT),
                [options.folder] * COUNT,
                [options.templates] * COUNT,
            )
        )


if __name__ == "__main__":
    main()
