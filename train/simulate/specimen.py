"""Make a specimen: molecules, vesicles and gold beads in ice, and the truth of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dep.engine.errors import SettingError
from dep.train.simulate.ice import Ice
from dep.train.simulate.membranes import MEMBRANE, gold_bead, vesicle
from dep.train.simulate.molecule import SURFACE, Molecule, from_map
from dep.train.simulate.poses import random_angles, rotation
from dep.train.simulate.settings import Specimen, draw
from dep.train.simulate.shapes import is_shape, shape

MAPS = (".mrc", ".map")
VESICLE, GOLD = "vesicle", "fiducial"
CROWDER = 40.0  # Å, diameter of the proteins in the background: about 30 kDa
MISSES = 12  # bodies in a row without room, after which the ice counts as full


@dataclass(frozen=True, slots=True, eq=False)
class Bodies:
    """Where things really are.

    Attributes
    ----------
    names : tuple of str
        Class names; class 1 is the first. Vesicles and gold beads come last.
    class_id : (n,) int64
    xyz : (n, 3) float64
        x, y, z in voxels, the centre of the first voxel is 0.
    angles : (n, 3) float64
        rot, tilt, psi in degrees, ZYZ.
    """

    names: tuple[str, ...]
    class_id: NDArray[np.int64]
    xyz: NDArray[np.float64]
    angles: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A specimen: its ice, the truth of it, and the molecules in it.

    Attributes
    ----------
    ice : Ice
        Potentials and instance numbers (from 1, in the order of `bodies`).
    bodies : Bodies
    molecules : tuple of Molecule
    missing : dict of str to int
        By class name: how many found no room.
    """

    ice: Ice
    bodies: Bodies
    molecules: tuple[Molecule, ...]
    missing: dict[str, int]


def load_molecules(names: Sequence[str], voxel: float) -> tuple[Molecule, ...]:
    """Open density maps, and folders of them, and build analytic molecules.

    `voxel` is that of the tomograms, in Å.

    Raises
    ------
    SettingError
        Two molecules of one name, or one that cannot be used.
    TomogramError
        A map that cannot be read.
    """
    found: list[Molecule] = []
    for name in _each(names):
        one = shape(name, voxel) if is_shape(name) else from_map(name, voxel)
        twin = next((other for other in found if other.name == one.name), None)
        if twin is not None or one.name in (VESICLE, GOLD):
            other_source = twin.source if twin else "the simulator's own objects"
            message = (
                f"{name}: the class name {one.name!r} is taken by {other_source}; "
                "rename the file"
            )
            raise SettingError(message)
        found.append(one)
    return tuple(found)


def _each(names: Sequence[str]) -> Iterator[str]:
    """Name every molecule, those of folders in the order of the alphabet."""
    for name in names:
        path = Path(name)
        if is_shape(name) or path.is_file():
            yield name
        elif path.is_dir():
            maps = sorted(one for one in path.iterdir() if one.suffix in MAPS)
            if not maps:
                message = f"{path}: no density map ({', '.join(MAPS)}) in this folder"
                raise SettingError(message)
            yield from map(str, maps)
        else:
            message = (
                f"{name}: no such density map, nor a built-in molecule such as ring:140"
            )
            raise SettingError(message)


def make_specimen(
    settings: Specimen,
    molecules: Sequence[Molecule],
    *,
    particles: int,
    occupancy: float,
    crowding: float,
    vesicles: int,
    gold: int,
    generator: np.random.Generator,
) -> Sample:
    """Fill ice with vesicles, gold beads, molecules (the largest first) and crowders.

    Raises
    ------
    SettingError
        A molecule wider than the tomogram.
    """
    width, height, depth = settings.size
    voxel = settings.voxel_size
    for one in molecules:
        if 2 * one.reach > min(width, height) * voxel:
            message = (
                f"{one.source}: reaches over {2 * one.reach:.0f} Å, more than the "
                f"tomogram's {min(width, height) * voxel:.0f} Å; enlarge the size"
            )
            raise SettingError(message)
    ice = Ice((depth, height, width), settings.gap / voxel)
    work = _Work(settings, ice, tuple(molecules), generator)
    work.add_vesicles(vesicles)
    work.add_gold(gold)
    if occupancy > 0:
        work.fill(occupancy)
    else:
        work.add_particles(particles)
    if crowding > 0:
        ice.crowd(crowding, CROWDER / voxel, settings.potential, generator)
    return Sample(ice, work.bodies(), work.molecules, work.missing)


class _Work:
    """Puts bodies into the ice and notes what was put where."""

    def __init__(
        self,
        settings: Specimen,
        ice: Ice,
        molecules: tuple[Molecule, ...],
        generator: np.random.Generator,
    ) -> None:
        self.molecules = molecules
        self.missing: dict[str, int] = {}
        self._names = (*(one.name for one in molecules), VESICLE, GOLD)
        self._settings, self._ice, self._generator = settings, ice, generator
        self._rows: list[tuple[int, NDArray[np.float64], NDArray[np.float64]]] = []

    def add_vesicles(self, count: int) -> None:
        """Add vesicles, no larger than the tomogram can hold."""
        voxel = self._settings.voxel_size
        room = min(self._settings.size) * voxel / 2 - MEMBRANE / 2 - 2 * voxel
        for _ in range(count):
            radius = draw(self._settings.vesicle_radius, self._generator)
            radius = min(radius, room)
            angles, offset = self._pose()
            if radius < MEMBRANE:
                self._miss(VESICLE)
                continue
            body = vesicle(radius, rotation(angles), offset, voxel, self._generator)
            self._place(VESICLE, body.potential, body.solid, angles, offset)

    def add_gold(self, count: int) -> None:
        """Add gold beads; as balls they have no angles."""
        for _ in range(count):
            offset = self._generator.random(3) - 0.5
            diameter, voxel = self._settings.gold_diameter, self._settings.voxel_size
            body = gold_bead(diameter, offset, voxel)
            self._place(GOLD, body.potential, body.solid, np.zeros(3), offset)

    def add_particles(self, count: int) -> None:
        """Add `count` molecules, equally many of each as far as that goes."""
        if not self.molecules:
            return
        kinds = len(self.molecules)
        numbers = np.full(kinds, count // kinds)
        numbers[self._generator.permutation(kinds)[: count % kinds]] += 1
        for kind in self._by_volume():
            for _ in range(numbers[kind]):
                self._add(self.molecules[kind])

    def fill(self, occupancy: float) -> None:
        """Add molecules, one of each in turn, until they fill a share of the ice."""
        wanted = occupancy * self._ice.instances.size * self._settings.voxel_size**3
        filled, misses = 0.0, 0
        for kind in self._endlessly():
            if filled >= wanted or misses >= MISSES:
                return
            placed = self._add(self.molecules[kind])
            filled += self.molecules[kind].volume if placed else 0.0
            misses = 0 if placed else misses + 1

    def bodies(self) -> Bodies:
        """Give the truth so far."""
        ids = np.array([row[0] for row in self._rows], np.int64)
        xyz = np.array([row[1] for row in self._rows], np.float64).reshape(-1, 3)
        angles = np.array([row[2] for row in self._rows], np.float64).reshape(-1, 3)
        return Bodies(self._names, ids, xyz, angles)

    def _by_volume(self) -> list[int]:
        return sorted(
            range(len(self.molecules)), key=lambda kind: -self.molecules[kind].volume
        )

    def _endlessly(self) -> Iterator[int]:
        while self.molecules:
            yield from self._by_volume()

    def _pose(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return random_angles(self._generator), self._generator.random(3) - 0.5

    def _add(self, molecule: Molecule) -> bool:
        angles, offset = self._pose()
        density = molecule.sample(rotation(angles), offset, self._settings.voxel_size)
        potential = density * np.float32(self._settings.potential)
        return self._place(molecule.name, potential, density > SURFACE, angles, offset)

    def _place(
        self,
        name: str,
        potential: NDArray[np.float32],
        solid: NDArray[np.bool_],
        angles: NDArray[np.float64],
        offset: NDArray[np.float64],
    ) -> bool:
        if not solid.any():  # between the voxels' centres: the nearest one is its
            solid = solid.copy()
            solid[(solid.shape[0] // 2,) * 3] = True
        middle = self._ice.find_room(solid, self._generator)
        if middle is None:
            self._miss(name)
            return False
        number = len(self._rows) + 1
        particle = name not in (VESICLE, GOLD)
        self._ice.put(potential, solid, middle, number, particle=particle)
        self._rows.append((self._names.index(name) + 1, middle + offset, angles))
        return True

    def _miss(self, name: str) -> None:
        self.missing[name] = self.missing.get(name, 0) + 1
