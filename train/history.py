"""What a run remembers of its validations: the best checkpoints, and when to stop."""

from dataclasses import asdict, dataclass, field
from typing import Any

from dep.train.validate import Validation


@dataclass(frozen=True)
class Best:
    """A validated checkpoint among the best.

    Attributes
    ----------
    step
        When it was made.
    f1_alpha
        Of its validation.
    """

    step: int
    f1_alpha: float

    @property
    def file(self) -> str:
        """Its name in the folder `best`."""
        return f"step_{self.step:08d}_f1a_{self.f1_alpha:.4f}.ckpt"


@dataclass
class History:
    """Kept in `last.ckpt`, so that a resumed run chooses and stops as a whole one.

    Attributes
    ----------
    validated
        Step of the last validation; 0 before the first.
    without_gain
        Validations since the best one.
    best
        The best validated step, None before the first validation.
    best_scores
        Of that step.
    kept
        Best first, as many as `keep_best`.
    """

    validated: int = 0
    without_gain: int = 0
    best: Best | None = None
    best_scores: Validation | None = None
    kept: list[Best] = field(default_factory=list)

    def add(self, step: int, scores: Validation, keep: int) -> bool:
        """Take note of a validation.

        Of equal ones the later is better: it has been trained longer.

        Returns
        -------
        bool
            Whether it is the best yet.
        """
        self.validated = step
        this = Best(step, scores.f1_alpha)
        self.kept.append(this)
        self.kept.sort(key=lambda one: (one.f1_alpha, one.step), reverse=True)
        del self.kept[keep:]
        gain = self.best is None or this.f1_alpha > self.best.f1_alpha
        self.without_gain = 0 if gain else self.without_gain + 1
        best = self.best is None or this.f1_alpha >= self.best.f1_alpha
        if best:
            self.best, self.best_scores = this, scores
        return best

    def exhausted(self, patience: int) -> bool:
        """Say whether `patience` validations in a row were no better; 0: never."""
        return 0 < patience <= self.without_gain

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, fit for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "History":
        """Build from what `to_dict` gave."""
        best, scores = values["best"], values["best_scores"]
        return cls(
            validated=int(values["validated"]),
            without_gain=int(values["without_gain"]),
            best=None if best is None else Best(**best),
            best_scores=None if scores is None else Validation(**scores),
            kept=[Best(**one) for one in values["kept"]],
        )
