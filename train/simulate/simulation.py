"""One tomogram, from settings and a seed: the whole simulation in order."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dep.train.simulate.molecule import Molecule
from dep.train.simulate.optics import Optics
from dep.train.simulate.reconstruct import back_project
from dep.train.simulate.settings import SimulationSettings, draw
from dep.train.simulate.specimen import Bodies, Sample, load_molecules, make_specimen
from dep.train.simulate.tilt_series import (
    TiltSeries,
    image_specimen,
    plan_tilts,
    tilt_angles,
)

# Called with (steps done, steps in all).
Progress = Callable[[int, int], None]
BAND = 16  # half the planes of y on which the tomogram's noise is measured


@dataclass(frozen=True, slots=True, eq=False)
class Simulation:
    """A simulated tomogram and everything that is true of it.

    Attributes
    ----------
    tomogram : (z, y, x) float32
        As reconstructed; mean 0 as far as back-projection keeps it.
    voxel_size : float
        Å.
    bodies : Bodies
        Classes, centres and angles.
    sample : Sample
        The specimen: potentials in V, instance numbers, molecules.
    tilt_series : TiltSeries
        Images without and with noise.
    snr : float
        Of the tomogram: mean square of the particles' voxels, reconstructed without
        noise, over the variance of the noise.
    drawn : dict of str to float
        What was drawn from the settings' spans.
    settings : SimulationSettings
    seed : int
    """

    tomogram: NDArray[np.float32]
    voxel_size: float
    sample: Sample
    tilt_series: TiltSeries
    snr: float
    drawn: dict[str, float]
    settings: SimulationSettings
    seed: int

    @property
    def bodies(self) -> Bodies:
        """The truth: classes, centres and angles."""
        return self.sample.bodies

    def facts(self) -> dict[str, Any]:
        """Give all that a record needs, as what JSON can hold."""
        counts = np.bincount(self.bodies.class_id, minlength=len(self.bodies.names) + 1)
        diameters = [one.diameter for one in self.sample.molecules]
        return {
            "seed": self.seed,
            "voxel_size": self.voxel_size,
            "settings": self.settings.to_dict(),
            "drawn": self.drawn,
            "snr_tilt_series": self.tilt_series.snr,
            "snr_tomogram": self.snr,
            "electrons_per_pixel": self.tilt_series.electrons,
            "classes": [
                {
                    "name": name,
                    "class_id": number,
                    "count": int(counts[number]),
                    "diameter": round(diameters[number - 1], 1)
                    if number <= len(diameters)
                    else None,
                }
                for number, name in enumerate(self.bodies.names, start=1)
            ],
            "without_room": self.sample.missing,
            "molecules": [
                {
                    "name": one.name,
                    "source": one.source,
                    "origin_in_box": one.box_offset,
                    "volume": one.volume,
                }
                for one in self.sample.molecules
            ],
            "tilts": [asdict(tilt) for tilt in self.tilt_series.tilts],
        }


def simulate(
    settings: SimulationSettings | None = None,
    *,
    seed: int = 0,
    molecules: Sequence[Molecule] | None = None,
    progress: Progress | None = None,
) -> Simulation:
    """Simulate one tomogram; the same settings and seed give the same voxels.

    Parameters
    ----------
    settings : SimulationSettings, optional
        The defaults, with the built-in molecules, where not given.
    seed : int
        Not negative.
    molecules : sequence of Molecule, optional
        Those of the settings, opened before (`load_molecules`), to open them once.

    Raises
    ------
    SettingError, TomogramError
        A molecule that cannot be used or read, or one wider than the tomogram.
    """
    settings = settings or SimulationSettings()
    specimen, acquisition = settings.specimen, settings.acquisition
    if molecules is None:
        molecules = load_molecules(specimen.molecules, specimen.voxel_size)
    # A generator for each purpose: changing one part leaves the draws of the others.
    streams = np.random.SeedSequence(seed).spawn(4)
    spans, places, tilting, counting = map(np.random.default_rng, streams)
    drawn = _draw(settings, spans)
    steps = _Steps(2 * len(tilt_angles(acquisition)) + 2, progress)
    sample = make_specimen(
        specimen,
        molecules,
        particles=int(drawn["particles"]),
        occupancy=drawn["occupancy"],
        crowding=drawn["crowding"],
        vesicles=int(drawn["vesicles"]),
        gold=int(drawn["gold"]),
        generator=places,
    )
    steps.step()
    voxel = specimen.voxel_size
    width, _, depth = specimen.size
    tilts = plan_tilts(acquisition, drawn, depth * voxel, voxel, tilting)
    series = image_specimen(
        sample.ice, tilts, acquisition, voxel, drawn["snr"], counting, steps.step
    )

    def rebuild(
        images: NDArray[np.float32], step: Callable[[], None] = lambda: None
    ) -> NDArray[np.float32]:
        optics = Optics(
            acquisition.voltage, acquisition.cs, acquisition.amplitude_contrast
        )
        return back_project(
            images,
            tilts,
            series.detector,
            (depth, width),
            settings.reconstruction,
            optics,
            voxel,
            step,
        )

    tomogram = rebuild(series.images, steps.step)
    snr = _measure(tomogram, series, sample, rebuild)
    steps.step()
    return Simulation(tomogram, voxel, sample, series, snr, drawn, settings, seed)


def _draw(
    settings: SimulationSettings, generator: np.random.Generator
) -> dict[str, float]:
    """Draw from the spans that hold for a tomogram, in a fixed order."""
    drawn: dict[str, float] = {}
    for group in (settings.specimen, settings.acquisition):
        for one in fields(group):
            if one.metadata.get("span") and one.name != "vesicle_radius":
                drawn[one.name] = draw(
                    getattr(group, one.name),
                    generator,
                    whole=one.metadata["whole"],
                    log=one.name == "snr",
                )
    return drawn


class _Steps:
    """Counts steps and tells the caller."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def step(self) -> None:
        """Count one more."""
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total)


def _measure(
    tomogram: NDArray[np.float32],
    series: TiltSeries,
    sample: Sample,
    rebuild: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> float:
    """Give the signal-to-noise ratio of the particles' voxels, in the middle of y.

    The band is reconstructed without noise; its outer planes, where its ends in y are
    felt, do not count.
    """
    height = tomogram.shape[1]
    low = max(0, height // 2 - BAND)
    high = min(height, low + 2 * BAND)
    inner = slice((high - low) // 4, (high - low) - (high - low) // 4)
    clean = rebuild(np.ascontiguousarray(series.clean[:, :, low:high]))[:, inner]
    noise = tomogram[:, low:high][:, inner] - clean
    instances = sample.ice.instances[:, low:high][:, inner]
    ids = np.concatenate([[0], sample.bodies.class_id, [0]])  # the last for GAP, -1
    particle = (ids > 0) & (ids <= len(sample.molecules))
    inside = particle[instances]
    if not inside.any():
        return 0.0
    signal = float(np.mean((clean[inside] - clean.mean(dtype=np.float64)) ** 2))
    return signal / float(noise.var(dtype=np.float64))
