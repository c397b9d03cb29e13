"""What a variant trains: the recipe with its changes, and its annotation."""

import copy
import csv
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from accuracy_studies import Variant

from dep.engine import open_volume

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "train" / "recipes" / "simulated12.toml"
# Tomograms from this number on are our own simulator's.
SECOND_SOURCE = 1000
SECOND_FOLDER = ROOT / "runs" / "second_source"


def configure(variant: Variant, data: Path, steps: int, seed: int) -> dict[str, Any]:
    """Return the recipe's values with the variant's changes."""
    values: dict[str, Any] = tomllib.loads(RECIPE.read_text(encoding="utf-8"))
    values["data"] = {
        # A thinned-out annotation says nothing about the other places.
        "fully_annotated": variant.particles is None,
        "train": [_source(data, number) for number in variant.train_on],
        "validate": [_source(data, 9)],
    }
    values["training"].update(
        steps=steps, seed=seed, save_every=steps, threads=1, validate_every=0
    )
    for key, value in variant.changes.items():
        target = values
        *sections, last = key.split(".")
        for section in sections:
            target = target.setdefault(section, {})
        target[last] = copy.deepcopy(value)
    return values


def _source(data: Path, number: int) -> dict[str, Any]:
    stem = data / "tomograms" / f"tomo_{number:04d}"
    if number >= SECOND_SOURCE:  # of train/recipes/second_source.py
        stem = SECOND_FOLDER / f"sim_{number}"
    return {
        "tomogram": str(stem.with_suffix(".mrc")),
        "coordinates": str(stem.with_suffix(".csv")),
    }


def annotate(values: dict[str, Any], variant: Variant, seed: int, folder: Path) -> None:
    """Thin out or displace the annotated centres, as the variant says."""
    if variant.particles is None and variant.displaced == (0.0, 0.0):
        return
    rng = np.random.default_rng([seed, 77])
    diameters = {
        one["name"]: one["diameter"] / values["voxel_size"] for one in values["classes"]
    }
    missing = set(diameters)  # whoever annotates 50 particles shows each class once
    for source in values["data"]["train"]:
        with Path(source["coordinates"]).open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["class"] in diameters]
        if variant.particles is not None:
            share = variant.particles // len(values["data"]["train"])
            drawn = [rows[k] for k in rng.permutation(len(rows))]
            if variant.particles < 10 * len(diameters):
                drawn = _first_of_each(drawn, missing)
            rows = drawn[:share]
            missing -= {row["class"] for row in rows}
        shape = open_volume(source["tomogram"]).shape
        for row in rows:
            radius = diameters[row["class"]] / 2
            step = rng.normal(size=3)
            step *= radius * rng.uniform(*variant.displaced) / np.linalg.norm(step)
            for axis, size, moved in zip("xyz", shape[::-1], step, strict=True):
                row[axis] = f"{np.clip(float(row[axis]) + moved, 0, size - 1):.3f}"
        path = folder / Path(source["coordinates"]).name
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
        source["coordinates"] = str(path)


def _first_of_each(
    rows: list[dict[str, str]], classes: set[str]
) -> list[dict[str, str]]:
    """Move the first particle of each of `classes` to the front."""
    first = {row["class"]: row for row in reversed(rows) if row["class"] in classes}
    front = list(first.values())
    return front + [row for row in rows if row not in front]
