"""The rule of the contest "CZII - CryoET Object Identification" (Kaggle, 2024/25).

Source: the contest's metric, https://www.kaggle.com/code/metric/czi-cryoet-84969, with
the contest's ``distance_multiplier`` 0.5 and ``beta`` 4; Peck et al., "A realistic
phantom dataset for benchmarking cryo-ET data annotation", Nature Methods, 2025.

* A particle is found when any pick of its class lies within half its radius (the rim
  counts). This is no matching: a pick between two particles finds both, which the
  contest calls extremely rare; several picks on one particle find it once.
* Per class and tomogram: TP is the number of particles found, FP the number of picks
  less TP, FN the number of particles less TP. They are summed over tomograms.
* P = TP / (TP + FP), R = TP / (TP + FN), F4 = 17 P R / (16 P + R); 0 where P + R is 0.
* The score is the mean of the classes' F4 by weight: 1 for easy classes, 2 for hard
  ones, 0 for beta-amylase. Only classes that occur in the truth have a part in it, and
  only tomograms that the truth has. (The contest's own code divides by the weights of
  all its classes; in its truth all occur, and then the two are the same.)
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dep.engine.card import ClassInfo
from dep.engine.errors import SettingError
from dep.engine.evaluation.bootstrap import Points
from dep.engine.evaluation.cases import Cases, pairs_within_radius
from dep.engine.evaluation.curve import Curve, sweep_covered
from dep.engine.evaluation.events import Events
from dep.engine.evaluation.ratios import Array, rates
from dep.engine.evaluation.rule import RuleResult
from dep.engine.metrics import Rates

BETA = 4.0
RADIUS_FACTOR = 0.5
SOURCE = "https://www.kaggle.com/code/metric/czi-cryoet-84969"
# Of the contest: radius in Å, weight in the score.
CONTEST = {
    "apo-ferritin": (60.0, 1.0),
    "beta-amylase": (65.0, 0.0),
    "beta-galactosidase": (90.0, 2.0),
    "ribosome": (150.0, 1.0),
    "thyroglobulin": (130.0, 2.0),
    "virus-like-particle": (135.0, 1.0),
}
CLASSES = tuple(ClassInfo(name, 2 * radius) for name, (radius, _) in CONTEST.items())


def weights_of(
    names: tuple[str, ...], chosen: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Give each class its weight: the one chosen, else the contest's, else 1.

    Raises
    ------
    SettingError
        A weight for a class that there is not, or below 0.
    """
    chosen = chosen or {}
    strange = sorted(set(chosen) - set(names))
    if strange:
        message = (
            f"a weight for {', '.join(strange)}, but the class table holds "
            f"{', '.join(names)}"
        )
        raise SettingError(message)
    weights = {
        name: chosen.get(name, CONTEST.get(name, (0.0, 1.0))[1]) for name in names
    }
    if not all(0 <= one < np.inf for one in weights.values()):
        message = f"expected weights of 0 or above, found {dict(chosen)}"
        raise SettingError(message)
    return weights


def czii(
    cases: Cases, events: Events, weights: Mapping[str, float] | None = None
) -> RuleResult:
    """Score picks by the contest's rule.

    Parameters
    ----------
    cases : Cases
        Tomograms of the truth, those without picks included.
    events : Events
        Of these cases; intervals are drawn from them.
    weights : mapping of str to float, optional
        By class name; see `weights_of`.

    Raises
    ------
    SettingError
        Weights as in `weights_of`, or none above 0 in a class that the truth has.
    """
    weight = weights_of(cases.names, weights)
    picked_as, true_as, score = cases.picked_as, cases.true_as, cases.score
    pairs = pairs_within_radius(cases, RADIUS_FACTOR)
    pairs = pairs.only(picked_as[pairs.pick] == true_as[pairs.particle])
    found = np.zeros(len(true_as), bool)
    found[pairs.particle] = True
    per_class, curves, best = {}, {}, {}
    for number, name in enumerate(cases.names, start=1):
        there, mine = true_as == number, picked_as == number
        if not there.any():
            continue
        per_class[name] = Rates(
            int(found[there].sum()), int(mine.sum()), int(there.sum())
        )
        own = pairs.only(mine[pairs.pick])
        index = np.cumsum(mine) - 1  # picks of the class, counted by themselves
        renumbered = type(own)(index[own.pick], own.particle, own.distance)
        curves[name] = sweep_covered(renumbered, score[mine], int(there.sum()))
        best[name] = curves[name].best_to_dict(BETA)
    counted = {name: weight[name] for name in per_class}
    if per_class and not sum(counted.values()) > 0:
        message = (
            f"the classes of the truth ({', '.join(counted)}) all have weight 0: "
            "nothing is left to score"
        )
        raise SettingError(message)
    return RuleResult(
        name="czii",
        beta=BETA,
        figures={
            "score": _mean({k: v.f_beta(BETA) for k, v in per_class.items()}, counted),
            "radius_factor": RADIUS_FACTOR,
        },
        per_class=per_class,
        weights=counted,
        curves=curves,
        best={
            "per_class": best,
            "score_at_those": _mean(
                {k: one["f_beta"] if one else 0.0 for k, one in best.items()}, counted
            ),
            "one_for_all": _one_for_all(curves, counted),
        },
        points=_points(events, cases, found, weight),
        source=SOURCE,
    )


def _mean(values: Mapping[str, float], weights: Mapping[str, float]) -> float:
    total = sum(weights.values())
    return sum(values[name] * weights[name] for name in weights) / total if total else 0


def _one_for_all(
    curves: Mapping[str, Curve], weights: Mapping[str, float]
) -> dict[str, Any] | None:
    """Find the one threshold with the best score; of equals the highest."""
    counting = {name: weight for name, weight in weights.items() if weight}
    parts = [curves[name].threshold for name in counting]
    every = np.unique(np.concatenate([np.zeros(0), *parts]))[::-1]
    if not len(every):
        return None
    score = np.zeros(len(every))
    for name, weight in counting.items():
        curve = curves[name]
        count = np.searchsorted(-curve.threshold, -every, side="right")
        value = np.append(0.0, curve.f_beta(BETA))[count]
        score += weight / sum(counting.values()) * value
    at = int(score.argmax())
    return {"threshold": float(every[at]), "score": float(score[at])}


def _points(
    events: Events,
    cases: Cases,
    found: NDArray[np.bool_],
    weight: Mapping[str, float],
) -> Points:
    """Count per event and class: particles found, picks, particles."""
    many = len(cases.names)
    values = np.zeros((len(events.case), 3 * many))
    picked, there = events.pick >= 0, events.particle >= 0
    row = np.arange(len(events.case))
    values[row[there], events.true_as[there] - 1] = found[events.particle[there]]
    values[row[picked], many + events.picked_as[picked] - 1] = 1
    values[row[there], 2 * many + events.true_as[there] - 1] = 1
    by_class = np.array([weight[name] for name in cases.names])

    def figures(sums: Array) -> dict[str, Array]:
        hits, picks, particles = np.split(sums, 3, axis=1)
        per_class = rates(hits, picks, particles, BETA)
        counting = by_class * (particles > 0)
        total = counting.sum(axis=1)
        score = (counting * np.nan_to_num(per_class["f_beta"])).sum(axis=1)
        result = {"score": np.where(total > 0, score, np.nan) / np.maximum(total, 1e-9)}
        for at, name in enumerate(cases.names):
            result |= {
                f"per_class.{name}.{figure}": value[:, at]
                for figure, value in per_class.items()
            }
        return result

    return Points(row, values, figures)
