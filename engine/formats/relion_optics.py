"""The optics block of RELION's particles: which tomogram is in which group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dep.engine.formats import star_text
from dep.engine.formats.format import Conventions, Optics

if TYPE_CHECKING:
    from dep.engine.picks import Picks


@dataclass(frozen=True, slots=True)
class OpticsGroups:
    """The text of the block, and the group's number of each tomogram with particles."""

    block: str
    group_of: Mapping[str, int]


def optics_groups(
    picks: Sequence["Picks"], how: Conventions, *, complete: bool
) -> OpticsGroups | None:
    """Group tomograms by optics, unbinned pixel size and voxel size.

    The voxel size is ``rlnImagePixelSize``, without which RELION 3.1 and 4 read no
    optics; an extraction replaces it.

    Parameters
    ----------
    picks, how
        As a writer gets them.
    complete
        Give None unless all is known of all tomograms; otherwise write what is known,
        the pixel size at least.

    Raises
    ------
    PicksError
        Not `complete`, and an unbinned pixel size is unknown.
    """
    keys: dict[str, tuple[float, float, Optics | None]] = {}
    # RELION has no groups without particles; of no particles at all, all groups.
    for one in [some for some in picks if len(some)] or picks:
        name = one.tomogram
        frame = how.frame_of(one)
        optics = how.optics_of.get(name, how.optics)
        if complete and (frame.pixel_size is None or optics is None):
            return None
        keys[name] = (
            frame.need_pixel_size(name, "RELION 4"),
            frame.need_voxel_size(name, "RELION 4"),
            optics,
        )
    known = all(optics is not None for *_, optics in keys.values())
    groups = {key: number for number, key in enumerate(dict.fromkeys(keys.values()), 1)}
    rows = []
    names: set[str] = set()
    for (pixel_size, voxel_size, optics), number in groups.items():
        name = optics.group if optics else f"opticsGroup{number}"
        if name in names:
            name = f"{name}_{number}"  # same name, other values
        names.add(name)
        row = f"{number} {star_text.quote(name)} {pixel_size:.6f} {voxel_size:.6f}"
        if known and optics:
            row += (
                f" {optics.voltage:.6f} {optics.aberration:.6f} {optics.contrast:.6f}"
            )
        rows.append(row + "\n")
    tags = (
        *(star_text.GROUP, "rlnOpticsGroupName"),
        *(star_text.UNBINNED, "rlnImagePixelSize"),
    )
    block = star_text.loop(
        "optics", tags + (star_text.OPTICS if known and keys else ()), "".join(rows)
    )
    return OpticsGroups(block, {name: groups[key] for name, key in keys.items()})
