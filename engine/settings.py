"""The settings of one picking run: the card's, unless the user says otherwise."""

import math
from dataclasses import dataclass
from typing import TypedDict, get_args

from dep.engine.card import MAX_ITERATIONS, Assembly, ModelCard
from dep.engine.choices import StatisticsKind
from dep.engine.errors import SettingError


class SettingOptions(TypedDict, total=False):
    """What may be set instead of taking the card's; see `Picker.pick`."""

    invert: bool
    rescale: bool
    statistics: StatisticsKind
    skip_empty: bool
    lowpass: float | None
    highpass: float | None
    t_seg: float | None
    t_lm: float | None
    t_dist: float | None
    iterations: int | tuple[int, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PickSettings:
    """How scores become picks; lengths in voxels that the network sees.

    Attributes
    ----------
    t_seg, t_lm : float
        Thresholds on the score and on the pooled mask.
    t_dist : float
        Least distance between two picks.
    iterations : int or tuple of int
        Mean-pooling repeats, one per class if a tuple.
    assembly : {"joint", "per_class"}
        How scores become labels.
    invert : bool
        Dark and bright were swapped before picking.
    rescale : bool
        The tomogram was resampled to the model's voxel size.
    statistics : {"plain", "robust"}
        What the tomogram was normalised by.
    skip_empty : bool
        Tiles without structure were not computed.
    lowpass, highpass : float or None
        Wavelengths in ångström of the filters that the tomogram went through.
    """

    t_seg: float
    t_lm: float
    t_dist: float
    iterations: int | tuple[int, ...]
    assembly: Assembly
    invert: bool = False
    rescale: bool = False
    statistics: StatisticsKind = "plain"
    skip_empty: bool = False
    lowpass: float | None = None
    highpass: float | None = None

    def __post_init__(self) -> None:
        each = (
            self.iterations
            if isinstance(self.iterations, tuple)
            else (self.iterations,)
        )
        rules = (
            ("t_seg", self.t_seg, 0 < self.t_seg < 1, "a number between 0 and 1"),
            ("t_lm", self.t_lm, 0 < self.t_lm <= 1, "a number above 0, at most 1"),
            (
                "t_dist",
                self.t_dist,
                0 <= self.t_dist < math.inf,
                "a number of voxels, 0 or more",
            ),
            (
                "iterations",
                self.iterations,
                all(1 <= one <= MAX_ITERATIONS for one in each),
                f"whole numbers from 1 to {MAX_ITERATIONS}",
            ),
            (
                "statistics",
                self.statistics,
                self.statistics in get_args(StatisticsKind),
                " or ".join(get_args(StatisticsKind)),
            ),
            *(
                (name, length, length is None or 0 < length < math.inf, expected)
                for name, length, expected in (
                    ("lowpass", self.lowpass, "a number of ångström above 0"),
                    ("highpass", self.highpass, "a number of ångström above 0"),
                )
            ),
            (
                "highpass",
                self.highpass,
                None in (self.lowpass, self.highpass)
                or (self.highpass or 0) > (self.lowpass or 0),
                f"more ångström than the low-pass has ({self.lowpass})",
            ),
        )
        wrong = [
            f"{name}: expected {expected}, found {value}"
            for name, value, right, expected in rules
            if not right
        ]
        if wrong:
            raise SettingError("; ".join(wrong))

    @classmethod
    def of(
        cls,
        card: ModelCard,
        *,
        t_seg: float | None = None,
        t_lm: float | None = None,
        t_dist: float | None = None,
        iterations: int | tuple[int, ...] | None = None,
        invert: bool = False,
        rescale: bool = False,
        statistics: StatisticsKind = "plain",
        skip_empty: bool = False,
        lowpass: float | None = None,
        highpass: float | None = None,
    ) -> "PickSettings":
        """Take the card's settings where none is given.

        Raises
        ------
        SettingError
            Values out of range (all named), or one iteration count per class where
            the model assembles its classes jointly or has another number of them.
        """
        if isinstance(iterations, tuple):
            if card.assembly == "joint":
                message = (
                    "iterations: this model finds all classes jointly; "
                    "expected one number, not one per class"
                )
                raise SettingError(message)
            if len(iterations) != len(card.classes):
                message = (
                    f"iterations: {len(iterations)} values for {len(card.classes)} "
                    "classes; expected one for each"
                )
                raise SettingError(message)
        return cls(
            t_seg=card.t_seg if t_seg is None else t_seg,
            t_lm=card.t_lm if t_lm is None else t_lm,
            t_dist=card.t_dist if t_dist is None else t_dist,
            iterations=card.iterations if iterations is None else iterations,
            assembly=card.assembly,
            invert=invert,
            rescale=rescale,
            statistics=statistics,
            skip_empty=skip_empty,
            lowpass=lowpass,
            highpass=highpass,
        )
