"""Tomograms with their weak labels, and the patches cut from them on demand."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dep.engine.normalise import measure
from dep.engine.volume import open_volume
from dep.train.config import ConfigError, Source, TrainConfig
from dep.train.labels import weak_labels

# How far a patch may reach beyond the tomogram; there it sees the padding (zero after
# normalisation) that tiles see at the tomogram's faces.
REACH = 12


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
        (z, y, x) uint8, class index in the configuration's order, from 1.
    xyz
        (n, 3) centres in voxels.
    class_id
        (n,) as in `labels`.
    """

    name: str
    voxels: npt.NDArray[np.generic]
    mean: float
    std: float
    labels: npt.NDArray[np.uint8]
    xyz: npt.NDArray[np.float32]
    class_id: npt.NDArray[np.uint8]


def read_centres(
    path: Path, names: Sequence[str]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8], dict[str, int]]:
    """Read annotated centres from a CSV with the columns class, x, y, z (voxels).

    Parameters
    ----------
    path
        The file; further columns are ignored.
    names
        Class names in order; class k + 1 is names[k].

    Returns
    -------
    xyz, class_id, left_out
        (n, 3) float32, (n,) uint8, and how many centres of each class that is not
        among `names` were left out.

    Raises
    ------
    ConfigError
        Naming the file and line of the first fault.
    """
    index = {name: k + 1 for k, name in enumerate(names)}
    xyz: list[tuple[float, float, float]] = []
    ids: list[int] = []
    left_out: dict[str, int] = {}
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        wanted = ["class", "x", "y", "z"]
        missing = [c for c in wanted if c not in (reader.fieldnames or [])]
        if missing:
            msg = (
                f"{path}: expected a header line with the columns class, x, y, z; "
                f"missing {', '.join(missing)}"
            )
            raise ConfigError(msg)
        for row in reader:
            if row["class"] not in index:
                left_out[row["class"]] = left_out.get(row["class"], 0) + 1
                continue
            try:
                xyz.append((float(row["x"]), float(row["y"]), float(row["z"])))
            except (TypeError, ValueError) as error:
                msg = (
                    f"{path}, line {reader.line_num}: x, y, z must be numbers, found "
                    f"{row['x']!r}, {row['y']!r}, {row['z']!r}"
                )
                raise ConfigError(msg) from error
            ids.append(index[row["class"]])
    return (
        np.array(xyz, dtype=np.float32).reshape(-1, 3),
        np.array(ids, dtype=np.uint8),
        left_out,
    )


def load_tomograms(
    sources: Sequence[Source], config: TrainConfig
) -> list[AnnotatedTomogram]:
    """Open tomograms and paint their labels.

    Raises
    ------
    ConfigError
        Listing every tomogram with a wrong voxel size, centres outside it, or no
        particle, and every class without a particle.
    """
    names = [entry.name for entry in config.classes]
    tomograms: list[AnnotatedTomogram] = []
    wrong: list[str] = []
    for source in sources:
        volume = open_volume(source.tomogram)
        if abs(volume.voxel_size / config.voxel_size - 1) > 0.05:
            wrong.append(
                f"{source.tomogram}: voxel size {volume.voxel_size:g} Å, the "
                f"configuration says {config.voxel_size:g} Å"
            )
            continue
        xyz, class_id, _ = read_centres(source.coordinates, names)
        if not len(xyz):
            wrong.append(f"{source.coordinates}: no centre of any configured class")
            continue
        try:
            labels = weak_labels(
                volume.shape,
                xyz,
                class_id,
                config.labels.diameter,
                config.labels.kind,
            )
        except ValueError as error:
            wrong.append(f"{source.coordinates}: {error}")
            continue
        stats = measure(volume)
        tomograms.append(
            AnnotatedTomogram(
                name=source.tomogram.stem,
                voxels=volume.array,
                mean=stats.mean,
                std=stats.std,
                labels=labels,
                xyz=xyz,
                class_id=class_id,
            )
        )
    if not wrong:
        counts = np.zeros(len(names) + 1, dtype=int)
        for tomogram in tomograms:
            counts += np.bincount(tomogram.class_id, minlength=len(names) + 1)
        wrong.extend(
            f"class {name}: no particle in any training tomogram"
            for name, count in zip(names, counts[1:], strict=True)
            if count == 0
        )
    if wrong:
        raise ConfigError("training data:\n  " + "\n  ".join(wrong))
    return tomograms


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
        Of the patch in its middle, voxels: a particle's centre falls anywhere inside
        its inner three quarters.
    batch
        Crops in a batch.
    random_part
        Part of the crops that are cut anywhere.
    seed
        Of the run.
    """

    tomograms: Sequence[AnnotatedTomogram]
    edge: int
    patch: int
    batch: int
    random_part: float
    seed: int

    def __call__(
        self, step: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        """Return image (b, 1, e, e, e) float32, normalised, and labels (b, e, e, e)."""
        rng = np.random.default_rng([self.seed, step])
        e = self.edge
        image = np.zeros((self.batch, 1, e, e, e), dtype=np.float32)
        labels = np.zeros((self.batch, e, e, e), dtype=np.uint8)
        for k in range(self.batch):
            tomogram = self.tomograms[rng.integers(len(self.tomograms))]
            centre = self._centre(tomogram, rng)
            _cut(tomogram, centre - e // 2, image[k, 0], labels[k])
        return image, labels

    def _centre(
        self, tomogram: AnnotatedTomogram, rng: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        """Return the crop's centre voxel (z, y, x)."""
        shape = np.array(tomogram.labels.shape)
        if rng.random() < self.random_part:
            centre = rng.integers(0, shape)
        else:
            # A class is drawn by the square root of its number, then a particle of
            # it: rare classes are seen more often, but not as often as common ones.
            present, counts = np.unique(tomogram.class_id, return_counts=True)
            weights = np.sqrt(counts)
            wanted = rng.choice(present, p=weights / weights.sum())
            members = np.flatnonzero(tomogram.class_id == wanted)
            particle = tomogram.xyz[members[rng.integers(len(members))]]
            jitter = 3 * self.patch // 8
            centre = np.rint(particle[::-1]).astype(np.int64) + rng.integers(
                -jitter, jitter + 1, size=3
            )
        half = self.patch // 2
        low = np.minimum(half - REACH, shape // 2)
        high = np.maximum(shape - half + REACH, shape // 2)
        return np.asarray(np.clip(centre, low, high), dtype=np.int64)


def _cut(
    tomogram: AnnotatedTomogram,
    origin: npt.NDArray[np.int64],
    image: npt.NDArray[np.float32],
    labels: npt.NDArray[np.uint8],
) -> None:
    """Fill a crop that starts at `origin` (z, y, x), which may lie outside; there 0."""
    shape = np.array(tomogram.labels.shape)
    edge = np.array(image.shape)
    low = np.clip(origin, 0, shape)
    high = np.clip(origin + edge, 0, shape)
    source = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    target = tuple(
        slice(a, b) for a, b in zip(low - origin, high - origin, strict=True)
    )
    block = tomogram.voxels[source].astype(np.float32)
    block -= tomogram.mean
    block /= tomogram.std
    image[target] = block
    labels[target] = tomogram.labels[source]
