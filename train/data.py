"""Tomograms with their weak labels, and the patches cut from them on demand."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dep.engine.normalise import Normaliser
from dep.train.labels import UNKNOWN


@dataclass(frozen=True)
class AnnotatedTomogram:
    """A tomogram, memory-mapped, with its labels.

    Attributes
    ----------
    name
        Of the tomogram.
    voxels
        (z, y, x), the file's own type.
    mean, std
        Of all its voxels.
    labels
        (z, y, x) uint8, class index in the configuration's order, from 1; `UNKNOWN`
        where the annotation is partial and says nothing.
    xyz
        (n, 3) centres in voxels.
    class_id
        (n,) as in `labels`.
    fully_annotated
        Every particle of every class is among them; what has no label is background.
        Otherwise `labels` are from `hide_unannotated`.
    weight
        How often it is drawn, beside others of weight 1.
    """

    name: str
    voxels: npt.NDArray[np.generic]
    mean: float
    std: float
    labels: npt.NDArray[np.uint8]
    xyz: npt.NDArray[np.float32]
    class_id: npt.NDArray[np.uint8]
    fully_annotated: bool = True
    weight: float = 1.0


@dataclass(frozen=True)
class PatchSampler:
    """Cuts a batch for any step; the same step always gives the same batch.

    Parameters
    ----------
    tomograms
        To cut from.
    edge
        Of a crop, voxels.
    patch
        Of the patch in its middle, voxels.
    batch
        Crops in a batch, on each rank.
    random_part
        Part of the crops that are cut anywhere.
    reach
        How far a patch may reach beyond the tomogram; there it sees the padding (zero
        after normalisation) that tiles see at the tomogram's faces.
    seed
        Of the run.
    jitter
        How far a particle lies from the middle of its patch at most, along each axis,
        as a part of `patch`: 0.375 spreads particles over its inner three quarters.
        14 of 72 voxels in the published tool.
    """

    tomograms: Sequence[AnnotatedTomogram]
    edge: int
    patch: int
    batch: int
    random_part: float
    reach: int
    seed: int
    jitter: float = 0.375

    def __call__(
        self, step: int, rank: int = 0, world: int = 1
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        """Cut the batch of a step for one of `world` ranks.

        Draws are by (seed, step, place in the batches of all ranks): two ranks with
        batches of 4 see the very crops that one with a batch of 8 would see.

        Returns
        -------
        image, labels
            (b, 1, e, e, e) float32, normalised as for picking, and (b, e, e, e) uint8.

        Raises
        ------
        ValueError
            If there is no such rank.
        """
        if not 0 <= rank < world:
            msg = f"rank must be 0..{world - 1} of {world}, found {rank}"
            raise ValueError(msg)
        e = self.edge
        image = np.zeros((self.batch, 1, e, e, e), dtype=np.float32)
        labels = np.zeros((self.batch, e, e, e), dtype=np.uint8)
        for k in range(self.batch):
            rng = np.random.default_rng([self.seed, step, rank * self.batch + k])
            tomogram = self._tomogram(rng)
            centre = self._centre(tomogram, rng)
            _cut(tomogram, centre - e // 2, image[k, 0], labels[k])
        return image, labels

    def _tomogram(self, rng: np.random.Generator) -> AnnotatedTomogram:
        """Draw a tomogram by its weight."""
        many = len(self.tomograms)
        weights = np.array([one.weight for one in self.tomograms])
        if (weights == weights[0]).all():
            return self.tomograms[int(rng.integers(many))]
        return self.tomograms[int(rng.choice(many, p=weights / weights.sum()))]

    def _centre(
        self, tomogram: AnnotatedTomogram, rng: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        """Return the crop's centre voxel (z, y, x)."""
        shape = np.array(tomogram.labels.shape)
        if rng.random() < self.random_part or not len(tomogram.xyz):
            centre = rng.integers(0, shape)
        else:
            # A class is drawn by the square root of its number, then a particle of
            # it: rare classes are seen more often, but not as often as common ones.
            counts = np.bincount(tomogram.class_id)
            weights = np.sqrt(counts)
            wanted = rng.choice(len(counts), p=weights / weights.sum())
            members = np.flatnonzero(tomogram.class_id == wanted)
            particle = tomogram.xyz[members[rng.integers(len(members))]]
            jitter = round(self.jitter * self.patch)
            centre = np.rint(particle[::-1]).astype(np.int64) + rng.integers(
                -jitter, jitter + 1, size=3
            )
        half = self.patch // 2
        low = np.minimum(half - self.reach, shape // 2)
        high = np.maximum(shape - half + self.reach, shape // 2)
        return np.asarray(np.clip(centre, low, high), dtype=np.int64)


def _cut(
    tomogram: AnnotatedTomogram,
    origin: npt.NDArray[np.int64],
    image: npt.NDArray[np.float32],
    labels: npt.NDArray[np.uint8],
) -> None:
    """Fill a crop that starts at `origin` (z, y, x) and may reach outside.

    There the image stays 0, and labels too, or are unknown in a partial annotation.
    """
    shape = np.array(tomogram.labels.shape)
    edge = np.array(image.shape)
    low = np.clip(origin, 0, shape)
    high = np.clip(origin + edge, 0, shape)
    source = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    target = tuple(
        slice(a, b) for a, b in zip(low - origin, high - origin, strict=True)
    )
    normalise = Normaliser(tomogram.mean, 1 / tomogram.std)
    normalise(tomogram.voxels[source], image[target])
    if not tomogram.fully_annotated:
        labels.fill(UNKNOWN)
    labels[target] = tomogram.labels[source]
