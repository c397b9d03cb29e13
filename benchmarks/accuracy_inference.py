"""What margin, deduplication and joint peaks are worth, on one model: docs/accuracy.md.

    python benchmarks/accuracy_inference.py [MODEL.onnx] [--data FOLDER]

Scores tomogram 10 of the development data with the bundled model (float32, the card's
thresholds), changing one thing at a time; nothing is trained.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from accuracy_scoring import score

from dep.engine import open_volume
from dep.engine.bundled import bundled_model
from dep.engine.model_file import read_card
from dep.engine.runtime.choose import open_runtime
from dep.engine.settings import PickSettings
from dep.engine.truth import read_truth

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", type=Path, default=bundled_model())
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    card = read_card(options.model)
    path = options.data / "tomograms" / "tomo_0010.mrc"
    volume = open_volume(path)
    truth = read_truth(
        path.with_suffix(".csv"),
        card.classes,
        shape=volume.shape,
        voxel_size=volume.voxel_size,
    )
    settings = PickSettings.of(card)
    other = "per_class" if card.assembly == "joint" else "joint"
    runs = [
        (f"as it is (margin {card.margin}, {card.assembly})", card.margin, settings),
        ("margin 0", 0, settings),
        ("margin 6", 6, settings),
        ("margin 12", 12, settings),
        ("margin 16", 16, settings),
        ("no deduplication", card.margin, replace(settings, t_dist=0.0)),
        (f"{other} peaks", card.margin, replace(settings, assembly=other)),
        (
            f"{other} peaks, no deduplication",
            card.margin,
            replace(settings, assembly=other, t_dist=0.0),
        ),
    ]
    sys.stdout.write(
        "| | precision | recall | localisation F1 | class F1 | distance |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
    )
    runtime = open_runtime(options.model, card)
    for name, margin, changed in runs:
        result = score(runtime, card, volume, truth, changed, margin)
        found = result.localisation
        sys.stdout.write(
            f"| {name} | {found.precision:.3f} | {found.recall:.3f} | {found.f1:.3f} "
            f"| {result.mean_class_f1:.3f} | {result.mean_distance:.2f} |\n"
        )
        sys.stdout.flush()
    runtime.close()


if __name__ == "__main__":
    main()
