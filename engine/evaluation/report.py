"""Everything that is said of picks: figures, thresholds, a rule's, intervals."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from dep.engine.atomic import atomic_text
from dep.engine.evaluation.bootstrap import Intervals, intervals_of, units_of
from dep.engine.evaluation.cases import Cases, pairs_within_radius
from dep.engine.evaluation.curve import Curve, sweep
from dep.engine.evaluation.events import Events, events_of
from dep.engine.evaluation.ratios import points_of
from dep.engine.evaluation.rule import RuleResult
from dep.engine.metrics import Evaluation, Rates

CSV_COLUMNS = (
    *("tomogram", "class", "precision", "recall", "f1", "f_beta", "hits", "picks"),
    *("particles", "mean_distance", "precision_low", "precision_high", "recall_low"),
    *("recall_high", "f1_low", "f1_high"),
)
CURVE_COLUMNS = (
    *("figure", "class", "threshold", "picks", "hits", "particles", "precision"),
    *("recall", "f1", "f_beta"),
)
# What stands in the class column for rows of more than one class.
LOCALISATION, POOLED, MACRO = "(localisation)", "(pooled)", "(macro)"
EVERY = "(all)"  # in the tomogram column


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """What there is to say of picks.

    Attributes
    ----------
    cases : Cases
        What was compared.
    beta : float
        Of F_beta.
    factor : float
        Of the particle's radius within which a pick hits.
    events : Events
        Hits, misses and false picks.
    total : Evaluation
        Of all tomograms together: counts are summed, distances averaged over hits.
    each : tuple of Evaluation
        Of every tomogram.
    curve : Curve
        Of localisation, over thresholds of the score.
    class_curves : dict of str to Curve
        Picks of a class against particles of this class only.
    rule : RuleResult or None
        By a contest's rule.
    intervals : Intervals or None
        By bootstrap.
    """

    cases: Cases
    beta: float
    factor: float
    events: Events
    total: Evaluation
    each: tuple[Evaluation, ...]
    curve: Curve
    class_curves: dict[str, Curve]
    rule: RuleResult | None = None
    intervals: Intervals | None = None

    def with_intervals(self, replicates: int, seed: int = 0) -> "Report":
        """Add bootstrap intervals; see `dep.engine.evaluation.bootstrap`.

        Raises
        ------
        SettingError
            As `intervals_of`.
        """
        points = {"figures": points_of(self.events, self.cases.names, self.beta)}
        if self.rule is not None and self.rule.points is not None:
            points["rule"] = self.rule.points
        intervals = intervals_of(
            units_of(self.events, len(self.cases.each)),
            points,
            tomograms=len(self.cases.each),
            replicates=replicates,
            seed=seed,
        )
        return replace(self, intervals=intervals)

    @property
    def mean_average_precision(self) -> float:
        """Mean average precision of the classes that occur in the truth."""
        there = [one for one in self.class_curves.values() if one.particles]
        return sum(one.average_precision for one in there) / max(len(there), 1)

    @property
    def one_score(self) -> bool:
        """All picks have the same score: thresholds say nothing."""
        return len(self.curve.threshold) < 2

    def interval(self, name: str) -> tuple[float, float] | None:
        """Give a figure's interval, where there is one."""
        return self.intervals.figures.get(name) if self.intervals else None

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that JSON can hold."""
        document = self.total.to_dict()
        sizes = np.array([one.voxel_size for one in self.cases.each])
        angstrom = self.events.distance * np.append(sizes, np.nan)[self.events.case]
        hit = self.events.hit
        place = document["localisation"]
        place["mean_distance_angstrom"] = (
            float(angstrom[hit].mean()) if hit.any() else None
        )
        place["f_beta"] = self.total.localisation.f_beta(self.beta)
        place["average_precision"] = self.curve.average_precision
        place["best"] = self.curve.best_to_dict(self.beta)
        place["best_f1"] = self.curve.best_to_dict(1.0)
        document["pooled"]["f_beta"] = self.total.pooled.f_beta(self.beta)
        document["macro"]["average_precision"] = self.mean_average_precision
        for name, rates in zip(self.total.classes, self.total.per_class, strict=True):
            curve = self.class_curves[name]
            document["per_class"][name] |= {
                "f_beta": rates.f_beta(self.beta),
                "average_precision": curve.average_precision,
                "best": curve.best_to_dict(self.beta),
                "best_f1": curve.best_to_dict(1.0),
            }
        document["beta"] = self.beta
        document["radius_factor"] = self.factor
        document["classes"] = list(self.total.classes)
        document["classes_ignored"] = self.cases.classless
        document["tomograms"] = {
            case.tomogram: {
                **one.localisation.to_dict(),
                "mean_class_f1": one.mean_class_f1,
                "voxel_size": case.voxel_size,
            }
            for case, one in zip(self.cases.each, self.each, strict=True)
        }
        document["rule"] = self.rule.to_dict() if self.rule else None
        document["intervals"] = self.intervals.to_dict() if self.intervals else None
        return document

    def rows(self) -> Iterator[dict[str, Any]]:
        """Give the rows of the CSV: each tomogram's and, last, those of all."""
        for case, one in zip(self.cases.each, self.each, strict=True):
            yield from self._rows(case.tomogram, one)
        yield from self._rows(EVERY, self.total)

    def _rows(self, tomogram: str, one: Evaluation) -> Iterator[dict[str, Any]]:
        whole = tomogram == EVERY
        named: list[tuple[str, str, Rates]] = [
            (LOCALISATION, "localisation", one.localisation),
            (POOLED, "pooled", one.pooled),
            *(
                (name, f"per_class.{name}", rates)
                for name, rates in zip(one.classes, one.per_class, strict=True)
            ),
        ]
        for label, key, rates in named:
            row = {"tomogram": tomogram, "class": label, **rates.to_dict()}
            row["f_beta"] = rates.f_beta(self.beta)
            if label == LOCALISATION and rates.hits:
                row["mean_distance"] = one.mean_distance
            yield row | (self._ends(key) if whole else {})
        row = {"tomogram": tomogram, "class": MACRO, **one.macro}
        yield row | (self._ends("macro") if whole else {})

    def _ends(self, key: str) -> dict[str, float]:
        ends: dict[str, float] = {}
        for name in ("precision", "recall", "f1"):
            found = self.interval(f"figures.{key}.{name}")
            if found is not None:
                ends[f"{name}_low"], ends[f"{name}_high"] = found
        return ends

    def curve_rows(self) -> Iterator[dict[str, Any]]:
        """Give a row for each threshold of each curve."""
        yield from _curve_rows("localisation", "", self.curve, self.beta)
        for name, curve in self.class_curves.items():
            yield from _curve_rows("class", name, curve, self.beta)
        if self.rule is not None:
            for name, curve in self.rule.curves.items():
                yield from _curve_rows(self.rule.name, name, curve, self.rule.beta)


def report_on(
    cases: Cases,
    *,
    beta: float = 1.0,
    factor: float = 1.0,
    events: Events | None = None,
    rule: RuleResult | None = None,
) -> Report:
    """Score picks against the truth.

    Parameters
    ----------
    cases : Cases
        One tomogram or many.
    beta : float
        Of F_beta.
    factor : float
        Of the particle's radius within which a pick hits.
    events : Events, optional
        Of these cases and factor, where they are known already.
    rule : RuleResult, optional
        What a contest's rule says of the same cases.
    """
    events = events or events_of(cases, factor)
    pairs = pairs_within_radius(cases, factor)
    picked_as, true_as, score = cases.picked_as, cases.true_as, cases.score
    class_curves = {}
    for number, name in enumerate(cases.names, start=1):
        mine = picked_as == number
        own = pairs.only(mine[pairs.pick] & (true_as[pairs.particle] == number))
        index = np.cumsum(mine) - 1
        own = replace(own, pick=index[own.pick])
        class_curves[name] = sweep(own, score[mine], int((true_as == number).sum()))
    return Report(
        cases=cases,
        beta=beta,
        factor=factor,
        events=events,
        total=events.evaluation(cases.names),
        each=tuple(
            events.of_case(index).evaluation(cases.names)
            for index in range(len(cases.each))
        ),
        curve=sweep(pairs, score, len(true_as)),
        class_curves=class_curves,
        rule=rule,
    )


def write_csv(report: Report, path: Path) -> None:
    """Write the figures of each tomogram and class; the file appears whole or not.

    Raises
    ------
    PicksError
        It cannot be written.
    """
    with atomic_text(path) as stream:
        _write(stream, CSV_COLUMNS, report.rows())


def write_curves(report: Report, path: Path) -> None:
    """Write precision and recall at each threshold; as `write_csv`."""
    with atomic_text(path) as stream:
        _write(stream, CURVE_COLUMNS, report.curve_rows())


def _curve_rows(
    figure: str, name: str, curve: Curve, beta: float
) -> Iterator[dict[str, Any]]:
    columns = (
        *(curve.threshold, curve.picks, curve.hits, curve.precision, curve.recall),
        *(curve.f_beta(), curve.f_beta(beta)),
    )
    for values in zip(*(one.tolist() for one in columns), strict=True):
        threshold, picks, hits, precision, recall, f1, f_beta = values
        yield {
            "figure": figure,
            "class": name,
            "threshold": threshold,
            "picks": picks,
            "hits": hits,
            "particles": curve.particles,
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "f_beta": f_beta,
        }


def _write(
    stream: TextIO, columns: tuple[str, ...], rows: Iterator[Mapping[str, Any]]
) -> None:
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _plain(value) for name, value in row.items()})


def _plain(value: Any) -> Any:  # noqa: ANN401 - what a field may hold
    return f"{value:.6g}" if isinstance(value, float) else value
