"""The `multiscales` of an OME-Zarr image: its levels, axes, units and voxel sizes.

Source: NGFF 0.4, section 3.4, and 0.5, section 2.4 ("multiscales" metadata).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dep.engine.errors import TomogramError
from dep.engine.readers.header import Level, edge_of, isotropic, three_axes
from dep.engine.readers.units import in_angstrom

SPACE = ("z", "y", "x")
DIGITS = 9  # of a voxel size: JSON holds 64-bit numbers


@dataclass(frozen=True, slots=True)
class Multiscales:
    """One image at several resolutions.

    Attributes
    ----------
    version : str
        Of the specification; "?" where it is not said.
    names : tuple of str
        Of the axes, as the arrays have them; empty where they are not said.
    units : tuple of str
        Of the axes; empty words where there are none.
    scales : mapping
        From the path of each level, the finest first, to the scale of each axis; empty
        where the level has none.
    """

    version: str
    names: tuple[str, ...]
    units: tuple[str, ...]
    scales: Mapping[str, tuple[float, ...]]

    @property
    def paths(self) -> tuple[str, ...]:
        """Of the levels in the image's group, the finest first."""
        return tuple(self.scales)

    def levels(self, shapes: Mapping[str, tuple[int, ...]]) -> tuple[Level, ...]:
        """List the levels whose arrays are there.

        Parameters
        ----------
        shapes : mapping
            From path to the array's shape.
        """
        found = []
        for path, shape in shapes.items():
            places = self._places(len(shape))
            z, y, x = (shape[place] for place in places or range(-3, 0))
            found.append(Level(path, (z, y, x), isotropic(self.edges(path)[0])))
        return tuple(found)

    def axes(self, label: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Say which axes of an array are z, y and x.

        Raises
        ------
        TomogramError
            There are others of more than one voxel, or they come in another order.
        """
        if not self.names:
            return three_axes(label, shape)
        listed = ", ".join(self.names)
        if len(self.names) != len(shape):
            message = (
                f"{label}: {len(self.names)} axes ({listed}) are said of an array of "
                f"{len(shape)}: the metadata is damaged"
            )
            raise TomogramError(message)
        places = self._places(len(shape))
        if places is None:
            message = (
                f"{label}: expected the axes z, y, x in this order (and others of "
                f"length 1), found {listed}"
            )
            raise TomogramError(message)
        for place, length in enumerate(shape):
            if place not in places and length != 1:
                message = (
                    f"{label}: {length} entries along the axis {self.names[place]!r}. "
                    "Expected one tomogram: write one of them as an image of its own."
                )
                raise TomogramError(message)
        return places

    def edges(self, path: str) -> tuple[tuple[float, float, float], str]:
        """Give x, y, z of a level's voxels in ångström, and why they are 0 if so."""
        scale = self.scales[path]
        places = self._places(len(scale))
        if places is None:
            return (0.0, 0.0, 0.0), "is not given"
        edges = []
        for place in places:
            unit = in_angstrom(self.units[place])
            if unit is None:
                said = f"the unit {self.units[place]!r}" if self.units[place] else ""
                why = f"has no unit of length ({scale[place]:g} {said or 'alone'})"
                return (0.0, 0.0, 0.0), why
            edges.append(edge_of(scale[place] * unit, DIGITS))
        return (edges[2], edges[1], edges[0]), "is 0"

    def _places(self, count: int) -> tuple[int, ...] | None:
        """Give the places of z, y and x among so many axes; None if in other order."""
        places = [place for place, name in enumerate(self.names) if name in SPACE]
        found = tuple(self.names[place] for place in places)
        return tuple(places) if found == SPACE and count == len(self.names) else None


def read_multiscales(label: str, attributes: Mapping[str, Any]) -> Multiscales | None:
    """Read a group's attributes; None where they describe no image.

    Raises
    ------
    TomogramError
        They do, and make no sense.
    """
    ome = attributes.get("ome", attributes)
    try:
        every = ome.get("multiscales")
        if not every:
            return None
        first = every[0]  # the default one, by the specification
        axes = [_axis(one) for one in first.get("axes", ())]
        common = _scale(first.get("coordinateTransformations", ()), len(axes))
        scales = {}
        for dataset in first["datasets"]:
            own = _scale(dataset.get("coordinateTransformations", ()), len(axes))
            scales[str(dataset["path"])] = _product(common, own)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        message = (
            f"{label}: the 'multiscales' of this OME-Zarr image make no sense "
            f"({type(error).__name__}: {error})"
        )
        raise TomogramError(message) from error
    if not scales:
        message = f"{label}: an OME-Zarr image without levels ('datasets')"
        raise TomogramError(message)
    return Multiscales(
        version=str(ome.get("version") or first.get("version") or "?"),
        names=tuple(name for name, _ in axes),
        units=tuple(unit for _, unit in axes),
        scales=scales,
    )


def _axis(one: str | Mapping[str, Any]) -> tuple[str, str]:
    """Give name and unit; 0.3 has names alone."""
    if isinstance(one, str):
        return one.lower(), ""
    return str(one["name"]).lower(), str(one.get("unit") or "")


def _scale(transformations: Sequence[Any], count: int) -> tuple[float, ...]:
    """Give the scale of each axis; nothing where none is said."""
    total: tuple[float, ...] = ()
    for one in transformations:
        if one["type"] == "scale":
            numbers = tuple(float(value) for value in one["scale"])
            if count and len(numbers) != count:
                message = f"{len(numbers)} scales for {count} axes"
                raise ValueError(message)
            total = _product(total, numbers)
    return total


def _product(a: tuple[float, ...], b: tuple[float, ...]) -> tuple[float, ...]:
    """Multiply the scales of each axis, where there are two."""
    if not a or not b:
        return a or b
    return tuple(one * other for one, other in zip(a, b, strict=True))
