"""The settings of template matching."""

import math
from dataclasses import dataclass

from dep.engine.baseline.template import Template
from dep.engine.card import MAX_CLASSES, ClassInfo
from dep.engine.errors import SettingError

ANGLES = 30.0  # degrees
TILT = (-60.0, 60.0)
FALSE_POSITIVES = 1.0  # expected of a tomogram and template
FINEST_ANGLES = 5.0  # half a million rotations


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateSettings:
    """How templates are matched.

    Attributes
    ----------
    templates : tuple of Template
        One class each.
    angles : float
        Degrees between orientations.
    tilt : (float, float)
        Lowest and highest tilt of the series, degrees: what is outside is missing.
    threshold : float or None
        Least correlation. None: what `false_positives` demands, or none at all where a
        number is asked for.
    false_positives : float
        To expect of a tomogram of noise, for each template.
    number : int or None
        At most so many picks of a tomogram, the best.
    t_dist : float or None
        Least distance of two picks, voxels; None: the smallest template's radius.
    low_pass : float or None
        Å: nothing finer is kept of the templates.
    mask_radius : float or None
        Å, of all masks; None: each template's own radius.
    """

    templates: tuple[Template, ...]
    angles: float = ANGLES
    tilt: tuple[float, float] = TILT
    threshold: float | None = None
    false_positives: float = FALSE_POSITIVES
    number: int | None = None
    t_dist: float | None = None
    low_pass: float | None = None
    mask_radius: float | None = None

    def __post_init__(self) -> None:
        low, high = self.tilt
        rules = (
            (bool(self.templates), "a template", "none"),
            (
                len(self.templates) <= MAX_CLASSES,
                f"{MAX_CLASSES} templates at most",
                len(self.templates),
            ),
            (
                FINEST_ANGLES <= self.angles <= 180,
                f"--angles of {FINEST_ANGLES:g} to 180 degrees",
                self.angles,
            ),
            (
                -90 <= low < high <= 90,
                "tilts from -90 to 90 degrees, the lower one first",
                f"{low:g},{high:g}",
            ),
            (
                self.threshold is None or 0 <= self.threshold <= 1,
                "a threshold on the correlation of 0 to 1",
                self.threshold,
            ),
            (
                0 < self.false_positives < math.inf,
                "a number of false positives above 0",
                self.false_positives,
            ),
            (
                self.low_pass is None or 0 < self.low_pass < math.inf,
                "--low-pass above 0 Å",
                self.low_pass,
            ),
            (
                self.mask_radius is None or 0 < self.mask_radius < math.inf,
                "--mask-radius above 0 Å",
                self.mask_radius,
            ),
        )
        for right, expected, found in rules:
            if not right:
                message = f"expected {expected}, found {found}"
                raise SettingError(message)
        names = [one.name for one in self.templates]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            message = (
                f"templates of the same name: {', '.join(sorted(twice))}; "
                "name them apart with FILE,NAME"
            )
            raise SettingError(message)

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """The class table."""
        return tuple(ClassInfo(one.name, one.diameter) for one in self.templates)

    def nearest(self, voxel_size: float) -> float:
        """Give the least distance of two picks, in voxels."""
        if self.t_dist is not None:
            return self.t_dist
        return min(one.radius for one in self.templates) / voxel_size
