"""What a contest's rule says of picks: counts per class, one score, and its curves."""

from dataclasses import dataclass, field
from typing import Any

from dep.engine.evaluation.bootstrap import Points
from dep.engine.evaluation.curve import Curve
from dep.engine.metrics import Rates


@dataclass(frozen=True, slots=True, eq=False)
class RuleResult:
    """Figures by a contest's rule.

    Attributes
    ----------
    name : {"czii", "shrec"}
        Which rule.
    beta : float
        Of its F_beta.
    figures : dict of str to number or None
        What it reports in all, the score first.
    per_class : dict of str to Rates
        Hits, picks and particles as the rule counts them, of the classes it counts.
    weights : dict of str to float
        Of those classes in the score; empty where it has none.
    curves : dict of str to Curve
        Over thresholds of the score; the empty name is of all classes.
    best : dict
        Thresholds that would have been best, with what they give.
    points : Points or None
        For intervals.
    confusion : list of list of int or None
        As `dep.engine.metrics.Evaluation.confusion`, as the rule counts.
    source : str
        Where the rule is written.
    """

    name: str
    beta: float
    figures: dict[str, Any]
    per_class: dict[str, Rates]
    weights: dict[str, float] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
    best: dict[str, Any] = field(default_factory=dict)
    points: Points | None = None
    confusion: list[list[int]] | None = None
    source: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that JSON can hold."""
        document: dict[str, Any] = {
            "name": self.name,
            "beta": self.beta,
            **self.figures,
            "per_class": {
                name: {
                    **rates.to_dict(),
                    "f_beta": rates.f_beta(self.beta),
                    **({"weight": self.weights[name]} if self.weights else {}),
                }
                for name, rates in self.per_class.items()
            },
            "best": self.best,
            "source": self.source,
        }
        if self.confusion is not None:
            document["confusion"] = self.confusion
        return document
