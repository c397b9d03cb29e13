"""Metrics as CSV, for spreadsheets and other programs."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from dep.engine.atomic import atomic_text
from dep.engine.relion_metrics.bfactor import BFactor
from dep.engine.relion_metrics.distributions import QUANTILES, Distribution
from dep.engine.relion_metrics.fsc import FscResult


def write_distributions(path: Path, found: Sequence[Distribution]) -> None:
    """Write one row for each metric of a file or class."""
    head = ["file", "metric", "class", "particles", "mean", "std", "minimum"]
    head += [f"q{quantile:g}" for quantile in QUANTILES] + ["maximum", "above_first"]
    _write(
        path,
        head,
        (
            [
                one.file,
                one.metric,
                "all" if one.class_id is None else one.class_id,
                one.particles,
                *map(_number, (one.mean, one.std, one.minimum, *one.quantiles)),
                _number(one.maximum),
                "" if one.above_first is None else _number(one.above_first),
            ]
            for one in found
        ),
    )


def write_curves(path: Path, result: FscResult) -> None:
    """Write one row for each shell; ångström is empty for shell 0."""
    curves = result.curves
    _write(
        path,
        ["shell", "frequency", "angstrom", *curves],
        (
            [
                shell,
                _number(float(k)),
                _number(1 / float(k)) if k > 0 else "",
                *(_number(float(curve[shell])) for curve in curves.values()),
            ]
            for shell, k in enumerate(result.frequency)
        ),
    )


def write_line(path: Path, fit: BFactor) -> None:
    """Write one row for each pair: what was measured, the line and its band."""
    n, d = fit.pairs.particles, fit.pairs.resolution
    line, low, high = fit.band(n)
    head = ["particles", "resolution", "ln_particles", "inverse_square"]
    head += ["line", "line_low", "line_high"]
    _write(
        path,
        head,
        (
            [_number(float(value)) for value in row]
            for row in zip(
                n, d, map(math.log, n), 1 / d**2, line, low, high, strict=True
            )
        ),
    )


def _write(path: Path, head: list[str], rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    with atomic_text(path) as stream:
        stream.write(text.getvalue())


def _number(value: float) -> str:
    return f"{value:.7g}"
