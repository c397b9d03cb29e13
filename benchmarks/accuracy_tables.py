"""Tables of docs/accuracy.md and docs/models.md from the results on record."""

import statistics
from collections.abc import Sequence
from typing import Any

from accuracy_studies import Study

COLUMNS = (
    ("localisation F1", "test", "f1"),
    ("class F1", "test", "class_f1"),
    ("distance", "test", "distance"),
    ("F1, noisy", "noisy", "f1"),
    ("class F1, noisy", "noisy", "class_f1"),
)


def table(study: Study, results: Sequence[dict[str, Any]]) -> str:
    """Return a Markdown table: a line per variant, mean and spread over its seeds."""
    head = ["variant", "steps", "parameters", "kMAC per owned voxel"]
    head += [column[0] for column in COLUMNS]
    lines = [f"### {study.name}: {study.title}", "", _row(head)]
    lines.append(_row(["---"] * len(head)))
    for variant in study.variants:
        rows = [
            row
            for row in results
            if (row["study"], row["variant"]) == (study.name, variant.name)
        ]
        if not rows:
            continue
        name = variant.name
        if len(rows) > 1:
            name += f" ({len(rows)} seeds)"
        cells = [name, f"{rows[0]['steps']:,}", f"{rows[0]['parameters']:,}"]
        cells.append(f"{rows[0]['kmac_per_owned_voxel']:.0f}")
        cells += [_spread([row[a][b] for row in rows]) for _, a, b in COLUMNS]
        lines.append(_row(cells))
    return "\n".join([*lines, ""])


def _spread(values: Sequence[float]) -> str:
    mean = statistics.mean(values)
    if len(values) == 1:
        return f"{mean:.3f}"
    return f"{mean:.3f} ± {statistics.stdev(values):.3f}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
