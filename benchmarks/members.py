"""What the members of the network family cost to pick with (docs/models.md).

    python benchmarks/members.py            # all of the study `networks`, in turns
    python benchmarks/members.py standard fast --rounds 5

Every member is exported as it is before any training, which changes no time, and picks
one tomogram of 256 x 256 x 128 voxels by the processor's usual runtime, in the tiles
that the planner chooses for it. In each round every member picks once; the figures are
medians, and medians of each member's time by that of `standard` in the same round.
Leave the machine to it. The result is kept beside those of the other studies.
"""

import argparse
import json
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from accuracy_setup import ROOT, configure
from accuracy_studies import STUDIES, Variant

from dep.engine import Picker
from dep.engine.bench.measure import stats_of
from dep.engine.onnx_cost import multiply_adds
from dep.engine.stats import PickStats
from dep.export import export_onnx
from dep.train.checkpoint import save_checkpoint
from dep.train.config import parse_config
from dep.train.state import TrainingState

RESULT = Path(__file__).resolve().parent / "results" / "member_times.json"
REFERENCE = "standard"


def untrained(variant: Variant, data: Path, folder: Path) -> Path:
    """Export a member with the weights that a training starts from."""
    config = parse_config(configure(variant, data, 1, 0), variant.name)
    checkpoint = folder / "model.ckpt"
    save_checkpoint(checkpoint, TrainingState(config, torch.device("cpu")).shipped())
    model = folder / f"{variant.name.replace(' ', '_')}.onnx"
    export_onnx(checkpoint, model)
    return model


def row(
    model: Path, stats: list[PickStats], reference: list[PickStats]
) -> dict[str, Any]:
    """Put one member's rounds together."""
    first = stats[0]
    each = multiply_adds(model, first.tile)
    total = None if each is None else each * first.tiles
    return {
        "seconds": round(statistics.median(one.total for one in stats), 3),
        "by_standard": round(
            statistics.median(
                one.total / other.total
                for one, other in zip(stats, reference, strict=True)
            ),
            3,
        ),
        "tile_zyx": list(first.tile),
        "margin": first.margin,
        "tiles": first.tiles,
        "kmac_per_owned_voxel": (
            None if total is None else round(total / first.owned_voxels / 1e3, 1)
        ),
        "runtime": f"{first.runtime} {first.precision}, {first.threads} threads",
        "rounds": len(stats),
    }


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="members; all if none")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    tomogram = options.data / "tomograms" / "tomo_0010.mrc"
    wanted = [
        variant
        for variant in STUDIES["networks"].variants
        if not options.names or variant.name in (*options.names, REFERENCE)
    ]
    stats: dict[str, list[PickStats]] = {variant.name: [] for variant in wanted}
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        models, pickers = {}, {}
        for variant in wanted:
            models[variant.name] = untrained(variant, options.data, Path(temporary))
            pickers[variant.name] = stack.enter_context(Picker(models[variant.name]))
        for turn in range(options.rounds + 1):
            for name, picker in pickers.items():
                found = stats_of(picker.pick(tomogram))
                sys.stderr.write(f"{turn} {name}: {found.total:.1f} s\n")
                if turn:  # the first warms up
                    stats[name].append(found)
        rows = {
            name: row(models[name], stats[name], stats[REFERENCE]) for name in models
        }
    kept = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({**kept, **rows}, indent=1) + "\n", encoding="utf-8")
    for name, one in rows.items():
        cost = one["kmac_per_owned_voxel"]
        sys.stdout.write(
            f"{name:30} {one['seconds']:7.2f} s  {one['by_standard']:6.2f} of standard"
            f"  {cost} kMAC per owned voxel, tiles of {one['tile_zyx']}\n"
        )


if __name__ == "__main__":
    main()
