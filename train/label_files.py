"""Writes weak labels as MRC, for people to look at over their tomograms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import mrcfile  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt

from dep.engine.atomic import atomic_path
from dep.engine.formats import read_rows
from dep.engine.readers.header import Wish
from dep.engine.readers.registry import read_header
from dep.train.config import ConfigError, TrainConfig
from dep.train.intake import survey_data
from dep.train.labels import LabelKind, weak_labels
from dep.train.sections import DataSection, Source
from dep.train.sources import PARTS, list_pairs
from dep.train.survey import Surveyed, survey

# Mode 0 is a signed byte; more classes take mode 1, 16 bits.
MOST_IN_A_BYTE = 127
LABEL_LENGTH, MOST_LABELS = 80, 10  # MRC2014


def write_labels(
    path: Path,
    labels: npt.NDArray[np.uint8],
    voxel_size: float,
    remarks: Sequence[str] = (),
) -> None:
    """Write a volume of labels, whole or not at all.

    Parameters
    ----------
    path
        File to write; replaced where it exists.
    labels
        (z, y, x), 0 for background.
    voxel_size
        Å.
    remarks
        Kept in the header's text labels, as far as they fit there.

    Raises
    ------
    PicksError
        It cannot be written; says why.
    """
    small = not labels.size or int(labels.max()) <= MOST_IN_A_BYTE
    with (
        atomic_path(path) as part,
        mrcfile.new(part) as mrc,
    ):
        mrc.set_data(labels.astype(np.int8 if small else np.int16))
        mrc.voxel_size = voxel_size
        mrc.set_volume()
        # In place of mrcfile's own label, which holds the time: the same labels give
        # the same file.
        mrc.header.label[:] = b""
        for number, text in enumerate(remarks[:MOST_LABELS]):
            ascii_only = text.encode("ascii", errors="replace")
            mrc.header.label[number] = ascii_only[:LABEL_LENGTH]
        mrc.header.nlabl = min(len(remarks), MOST_LABELS)


@dataclass(frozen=True)
class LabelPlan:
    """What labels are painted where.

    Attributes
    ----------
    tomograms
        Each with its part: "train", "validate" or "test".
    classes
        Names; the first is written as 1.
    diameters
        Of each class's labels, voxels.
    kind
        "cubic", "ball" or "tball".
    voxel_size
        Å, written where the tomogram's own header holds none.
    warnings
        To be shown.
    """

    tomograms: list[tuple[str, Surveyed]]
    classes: tuple[str, ...]
    diameters: tuple[int, ...]
    kind: LabelKind
    voxel_size: float
    warnings: list[str]

    def with_diameters(
        self, common: int | None, named: Mapping[str, int]
    ) -> "LabelPlan":
        """Change the diameters of all classes, or of some.

        Raises
        ------
        ConfigError
            A class that there is not.
        """
        strange = [name for name in named if name not in self.classes]
        if strange:
            msg = (
                f"no class {', '.join(strange)} to give a diameter; there are "
                f"{', '.join(self.classes)}"
            )
            raise ConfigError(msg)
        diameters = tuple(
            named.get(name, diameter if common is None else common)
            for name, diameter in zip(self.classes, self.diameters, strict=True)
        )
        return replace(self, diameters=diameters)

    def paint(self, one: Surveyed) -> npt.NDArray[np.uint8]:
        """Return the labels of a tomogram (z, y, x)."""
        return weak_labels(one.shape, one.xyz, one.class_id, self.diameters, self.kind)

    def write(self, one: Surveyed, path: Path) -> int:
        """Write the labels of a tomogram; return how many voxels are labelled."""
        labels = self.paint(one)
        remarks = [f"dep label: {self.kind}"]
        table = zip(self.classes, self.diameters, strict=True)
        remarks += [f"{k} {name}: {d}" for k, (name, d) in enumerate(table, start=1)]
        header = read_header(one.path, Wish(shape=one.shape))
        size = header.voxel_size or self.voxel_size
        write_labels(path, labels, size, remarks)
        return int(np.count_nonzero(labels))


def plan_of_config(config: TrainConfig) -> LabelPlan:
    """Plan the labels that a training would see.

    Raises
    ------
    ConfigError
        If the data do not fit the configuration.
    """
    found = survey_data(config)
    return LabelPlan(
        tomograms=[(part, one) for part in PARTS for one in found.parts[part]],
        classes=tuple(entry.name for entry in config.classes),
        diameters=config.label_diameters,
        kind=config.labels.kind,
        voxel_size=config.voxel_size,
        warnings=found.warnings,
    )


def plan_of_files(
    tomogram: Path, coordinates: Path, diameter: int, kind: LabelKind
) -> LabelPlan:
    """Plan labels without a configuration, of all classes that a file holds.

    Parameters
    ----------
    tomogram, coordinates
        As in `[data]` of a configuration: a pattern and ``{name}`` are understood.
    diameter
        Of all labels, voxels.
    kind
        "cubic", "ball" or "tball".

    Raises
    ------
    ConfigError
        Missing files, or centres outside their tomogram.
    PicksError, TomogramError
        A file that cannot be read.
    """
    data = DataSection(train=(Source(tomogram=tomogram, coordinates=coordinates),))
    pairs = list_pairs(data)
    if pairs.faults:
        raise ConfigError("\n  ".join(["labels:", *pairs.faults]))
    names: dict[str, None] = {}
    most = 0
    for path in dict.fromkeys(pair.coordinates for pair in pairs.parts["train"]):
        table = read_rows(path)
        own = table.frame.classes or ()
        if table.numbered and not own:
            most = max([most, *map(int, table.label)])
        names.update(dict.fromkeys(one.name for one in own))
        names.update({} if table.numbered else dict.fromkeys(sorted(table.label)))
    classes = list(names) or [str(number) for number in range(1, most + 1)]
    size = read_header(pairs.parts["train"][0].tomogram).voxel_size or 1.0
    found = survey(data, classes, size)
    faults = [line for line in found.faults if not line.startswith("class ")]
    if faults:
        raise ConfigError("\n  ".join(["labels:", *faults]))
    return LabelPlan(
        tomograms=[("", one) for one in found.parts["train"]],
        classes=tuple(classes),
        diameters=(diameter,) * len(classes),
        kind=kind,
        voxel_size=size,
        warnings=found.warnings,
    )
