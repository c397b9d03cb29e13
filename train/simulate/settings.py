"""What to simulate: the specimen, its acquisition and its reconstruction."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from dep.engine.errors import SettingError

# One value for all tomograms, or (low, high) to draw from for each.
Span = float | tuple[float, float]

ORDERS = ("dose-symmetric", "unidirectional", "bidirectional")
FILTERS = ("ramp", "exact")
CONTRASTS = ("dark", "bright")
DEFAULT_MOLECULES = (
    "globule:80",
    "dimer:100",
    "cluster:120",
    "ring:140",
    "barrel:180",
    "shell:260",
)


def _from(low: float, high: float) -> dict[str, Any]:
    """Say what numbers a field may be; `_field_fault` holds it to that."""
    return {"low": low, "high": high, "span": False, "whole": False}


def _span(low: float, high: float) -> dict[str, Any]:
    """Say so of a field that may be a span."""
    return {"low": low, "high": high, "span": True, "whole": False}


def _whole(low: float, high: float) -> dict[str, Any]:
    """Say so of a span of whole numbers."""
    return {"low": low, "high": high, "span": True, "whole": True}


@dataclass(frozen=True)
class Specimen:
    """What lies in the ice.

    Attributes
    ----------
    size : (int, int, int)
        x, y, z in voxels.
    voxel_size : float
        Å.
    molecules : tuple of str
        Density maps (MRC), folders of them, and built-in shapes ``family:diameter``
        (Å), see `dep.train.simulate.shapes`.
    particles : int or span
        How many in all, shared equally among the molecules.
    occupancy : float or span
        Where above 0: molecules are placed until they fill this share of the volume,
        and `particles` does not count.
    gap : float
        Least distance between two surfaces, Å.
    potential : float
        Of the inside of a molecule against ice, V. Maps are scaled to it. Vulović et
        al., J. Struct. Biol. 183:19 (2013): protein 7 to 8 V, ice 4.5 V.
    crowding : float or span
        Share of the volume filled with small globular proteins (40 Å), which are
        background.
    vesicles, gold : int or span
        How many.
    vesicle_radius : float or span
        Å, drawn for each vesicle.
    gold_diameter : float
        Å.
    """

    size: tuple[int, int, int] = (256, 256, 128)
    voxel_size: float = field(default=10.0, metadata=_from(0.1, 100.0))
    molecules: tuple[str, ...] = DEFAULT_MOLECULES
    particles: Span = field(default=240, metadata=_whole(0, 1e6))
    occupancy: Span = field(default=0.0, metadata=_span(0.0, 0.6))
    gap: float = field(default=10.0, metadata=_from(0.0, 1e4))
    potential: float = field(default=3.0, metadata=_from(0.01, 100.0))
    crowding: Span = field(default=0.0, metadata=_span(0.0, 0.4))
    vesicles: Span = field(default=(1, 3), metadata=_whole(0, 1000))
    vesicle_radius: Span = field(default=(200.0, 450.0), metadata=_span(50.0, 1e5))
    gold: Span = field(default=(2, 6), metadata=_whole(0, 10000))
    gold_diameter: float = field(default=100.0, metadata=_from(1.0, 1e4))


@dataclass(frozen=True)
class Acquisition:
    """How the tilt series is taken.

    Attributes
    ----------
    tilt_range : float
        Degrees: from -tilt_range to tilt_range.
    tilt_step : float
        Degrees.
    order : str
        ``dose-symmetric`` (Hagen et al., J. Struct. Biol. 197:191, 2017),
        ``unidirectional`` or ``bidirectional``: decides what radiation has spoilt by
        the time of each tilt.
    dose : float or span
        Of the whole series, e/Å² on the specimen.
    snr : float or span
        Where above 0: the counted share of the electrons is chosen such that the
        variance of the particles in the projections, over that of the noise, is this
        (drawn evenly in its logarithm). Else every electron of `dose` is counted; so
        too in a tomogram that no particle was drawn for, or found room in.
    defocus, defocus_error : float or span
        Underfocus and the standard deviation of each tilt from it, µm.
    astigmatism : float or span
        Half the difference between the defocus of both axes, µm.
    voltage, cs, amplitude_contrast : float
        kV, mm and share.
    shift_error, rotation_error, tilt_error : float or span
        Standard deviations over the tilts of what alignment gets wrong: shift along
        each axis in Å, in-plane rotation and tilt angle in degrees.
    free_path : float
        Mean free path of inelastic scattering in ice, Å; 0 loses no electrons. Rice et
        al., J. Struct. Biol. 204:38 (2018): 3950 Å at 300 kV.
    damage : bool
        Whether radiation fades detail.
    """

    tilt_range: float = field(default=60.0, metadata=_from(1.0, 80.0))
    tilt_step: float = field(default=3.0, metadata=_from(0.1, 30.0))
    order: str = field(default="dose-symmetric", metadata={"words": ORDERS})
    dose: Span = field(default=110.0, metadata=_span(0.01, 1e5))
    snr: Span = field(default=0.0, metadata=_span(0.0, 1e6))
    defocus: Span = field(default=(2.0, 5.0), metadata=_span(-50.0, 50.0))
    defocus_error: Span = field(default=0.05, metadata=_span(0.0, 10.0))
    astigmatism: Span = field(default=0.0, metadata=_span(0.0, 10.0))
    voltage: float = field(default=300.0, metadata=_from(60.0, 1000.0))
    cs: float = field(default=2.7, metadata=_from(0.0, 10.0))
    amplitude_contrast: float = field(default=0.07, metadata=_from(0.0, 1.0))
    shift_error: Span = field(default=(2.0, 8.0), metadata=_span(0.0, 1000.0))
    rotation_error: Span = field(default=0.1, metadata=_span(0.0, 10.0))
    tilt_error: Span = field(default=0.1, metadata=_span(0.0, 5.0))
    free_path: float = field(default=3950.0, metadata=_from(0.0, 1e6))
    damage: bool = True


@dataclass(frozen=True)
class Reconstruction:
    """How the tomogram is made of the tilt series.

    Attributes
    ----------
    filter : str
        ``ramp``, or ``exact`` for the angles at hand (Harauz & van Heel, 1986).
    cutoff : float
        Where the filter ends, as a share of the Nyquist frequency.
    phase_flip : bool
        Whether the signs of the CTF are set right, tilt by tilt.
    dose_weighting : bool
        Whether each tilt is weighted by what radiation has left in it.
    contrast : str
        What protein looks like: ``dark`` or ``bright``.
    """

    filter: str = field(default="ramp", metadata={"words": FILTERS})
    cutoff: float = field(default=1.0, metadata=_from(0.05, 1.0))
    phase_flip: bool = False
    dose_weighting: bool = True
    contrast: str = field(default="dark", metadata={"words": CONTRASTS})


@dataclass(frozen=True)
class SimulationSettings:
    """Everything that, with a seed, decides a tomogram.

    Raises
    ------
    SettingError
        Values outside what makes sense, all of them in one message.
    """

    specimen: Specimen = field(default_factory=Specimen)
    acquisition: Acquisition = field(default_factory=Acquisition)
    reconstruction: Reconstruction = field(default_factory=Reconstruction)

    def __post_init__(self) -> None:
        refuse(
            settings_faults({one.name: getattr(self, one.name) for one in fields(self)})
        )

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Give the settings as nested dictionaries that `parse_settings` reads."""
        return asdict(self)


Group = Specimen | Acquisition | Reconstruction


def refuse(faults: Sequence[str]) -> None:
    """Raise the one `SettingError` that lists all faults, if there are any."""
    if faults:
        message = "the settings of the simulation:\n  " + "\n  ".join(faults)
        raise SettingError(message)


def draw(
    span: Span,
    generator: np.random.Generator,
    *,
    whole: bool = False,
    log: bool = False,
) -> float:
    """Draw a value from a span, evenly or evenly in its logarithm.

    One number is drawn from the generator whatever the span, so that other draws do
    not depend on it.
    """
    low, high = span if isinstance(span, tuple) else (span, span)
    part = float(generator.random())
    if whole:
        return float(min(int(low) + int(part * (int(high) - int(low) + 1)), int(high)))
    if log and low > 0:
        return float(low * (high / low) ** part)
    return float(low + (high - low) * part)


def settings_faults(groups: Mapping[str, Group]) -> list[str]:
    """List what makes no sense in the groups, each alone and together."""
    faults = [
        fault for name, group in groups.items() for fault in group_faults(name, group)
    ]
    specimen, acquisition = groups.get("specimen"), groups.get("acquisition")
    judged = ("acquisition.snr", "specimen.particles", "specimen.occupancy")
    if (
        not any(fault.startswith(judged) for fault in faults)
        and isinstance(specimen, Specimen)
        and isinstance(acquisition, Acquisition)
        and _most(acquisition.snr) > 0
        and _most(specimen.particles) == _most(specimen.occupancy) == 0
    ):
        faults.append(
            "acquisition.snr: the ratio is of the particles' signal, and "
            "specimen.particles = 0 leaves none: leave snr out (acquisition.dose then "
            "says how many electrons are counted), or ask for particles"
        )
    return faults


def _most(span: Span) -> float:
    return max(span) if isinstance(span, tuple) else span


def group_faults(group: str, values: Group) -> list[str]:
    """List what makes no sense in one group of settings, one line each."""
    faults = []
    for one in fields(values):
        fault = _field_fault(getattr(values, one.name), one.metadata, one.default)
        if fault:
            faults.append(f"{group}.{one.name}: {fault}")
    if isinstance(values, Specimen):
        faults += _specimen_faults(values)
    return faults


def _field_fault(value: object, limits: Mapping[str, Any], default: object) -> str:
    if "words" in limits:
        words = limits["words"]
        return "" if value in words else f"expected {', '.join(words)}, found {value!r}"
    if isinstance(default, bool):
        return (
            "" if isinstance(value, bool) else f"expected true or false, not {value!r}"
        )
    if "low" not in limits:
        return ""
    ends = value if isinstance(value, tuple) and limits["span"] else (value,)
    low, high = limits["low"], limits["high"]
    kind = "a whole number" if limits["whole"] else "a number"
    wanted = f"{kind} from {low:g} to {high:g}"
    if limits["span"]:
        wanted += ", or two of them, low and high"
    good = len(ends) in (1, 2) and all(_is_number(one, low, high) for one in ends)
    if not good or list(ends) != sorted(ends):
        return f"expected {wanted}; found {value!r}"
    if limits["whole"] and any(one != int(one) for one in ends):
        return f"expected {wanted}; found {value!r}"
    return ""


def _is_number(value: object, low: float, high: float) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return low <= value <= high  # NaN is not


def _specimen_faults(specimen: Specimen) -> list[str]:
    faults = []
    size = specimen.size
    if (
        not isinstance(size, tuple)
        or len(size) != 3
        or not all(type(n) is int and 16 <= n <= 4096 for n in size)
    ):
        faults.append(
            "specimen.size: expected three whole numbers x, y, z from 16 to 4096; "
            f"found {size!r}"
        )
    molecules = specimen.molecules
    if not isinstance(molecules, tuple) or not all(type(m) is str for m in molecules):
        faults.append(
            f"specimen.molecules: expected a list of names, not {molecules!r}"
        )
    return faults
