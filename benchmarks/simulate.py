"""Times `dep simulate`, stage by stage, in processor time: others' work hardly shows.

    python benchmarks/simulate.py                  # 256 x 256 x 128, 250 particles
    python benchmarks/simulate.py --size 512,512,200 --particles 1500
    python benchmarks/simulate.py --templates MAP_OR_FOLDER ...
    python benchmarks/simulate.py --json           # for programs

The whole runs in this process, on one thread; peak memory is the process's, Python and
its libraries included.
"""

import argparse
import json
import resource
import sys
import time
from dataclasses import replace

from dep.train.simulate import Simulation, SimulationSettings, Specimen, simulate
from dep.train.simulate.tilt_series import tilt_angles

MIB = 1 << 10  # of KiB, the unit of ru_maxrss on Linux


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="256,256,128", help="x,y,z in voxels")
    parser.add_argument("--particles", type=int, default=250)
    parser.add_argument("--templates", nargs="*", default=[])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    words = parser.parse_args()
    x, y, z = (int(n) for n in words.size.split(","))
    specimen = Specimen(size=(x, y, z), particles=words.particles, vesicles=2, gold=4)
    if words.templates:
        specimen = replace(specimen, molecules=tuple(words.templates))
    settings = SimulationSettings(specimen)
    seconds, result = measure(settings, words.seed)
    placed = result.bodies.class_id <= len(result.sample.molecules)
    facts = {
        "size": words.size,
        "particles": int(placed.sum()),
        "tilts": len(result.tilt_series.tilts),
        "processor_seconds": {name: round(n, 2) for name, n in seconds.items()},
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // MIB,
    }
    if words.json:
        sys.stdout.write(json.dumps(facts) + "\n")
        return
    for name, value in facts.items():
        sys.stdout.write(f"{name:18} {value}\n")


def measure(
    settings: SimulationSettings, seed: int
) -> tuple[dict[str, float], Simulation]:
    """Simulate, and note the processor time at the end of each stage."""
    tilts = len(tilt_angles(settings.acquisition))
    ends = {1: "specimen", 1 + tilts: "images", 1 + 2 * tilts: "back-projection"}
    seconds: dict[str, float] = {}
    start = last = time.process_time()

    def note(done: int, _total: int) -> None:
        nonlocal last
        if done in ends:
            now = time.process_time()
            seconds[ends[done]] = now - last
            last = now

    result = simulate(settings, seed=seed, progress=note)
    end = time.process_time()
    seconds["signal-to-noise ratio"] = end - last
    seconds["total"] = end - start
    return seconds, result


if __name__ == "__main__":
    main()
