"""Opens all that a training takes in: tomograms, centres and their weak labels."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dep.engine.errors import DepError
from dep.engine.normalise import measure
from dep.engine.volume import open_volume
from dep.train.advice import size_warnings
from dep.train.config import ConfigError, TrainConfig, listed
from dep.train.contrast import believed, excess
from dep.train.data import AnnotatedTomogram
from dep.train.idle import idle_settings
from dep.train.labels import hide_unannotated, weak_labels
from dep.train.sources import PARTS
from dep.train.survey import Survey, Surveyed, survey


@dataclass(frozen=True)
class TrainingData:
    """All tomograms of a training, open and labelled.

    Attributes
    ----------
    train, validate, test
        Annotated tomograms; the last two may be empty.
    warnings
        What a person should know before the training starts, one line each.
    """

    train: list[AnnotatedTomogram]
    validate: list[AnnotatedTomogram]
    test: list[AnnotatedTomogram]
    warnings: list[str]


def load_data(config: TrainConfig) -> TrainingData:
    """Open all tomograms of a configuration and paint their labels.

    Voxels are memory-mapped and read once, for their mean and deviation; labels are in
    memory, one byte a voxel.

    Raises
    ------
    ConfigError
        Listing everything that is wrong with the data at once: files, headers and
        coordinates first (see `survey_data`), then voxels.
    """
    found = survey_data(config)
    opened: dict[str, list[AnnotatedTomogram]] = {part: [] for part in PARTS}
    wrong: list[str] = []
    for part in PARTS:
        for one in found.parts[part]:
            try:
                opened[part].append(_open(one, config))
            except DepError as error:
                wrong.append(str(error))
    if wrong:
        raise ConfigError(listed("training data", wrong))
    doubt = _contrast_doubt(opened["train"], config)
    idle = idle_settings(
        config,
        validated=bool(opened["validate"]),
        complete=all(one.fully_annotated for one in opened["train"]),
    )
    return TrainingData(
        train=opened["train"],
        validate=opened["validate"],
        test=opened["test"],
        warnings=[*found.warnings, *([doubt] if doubt else []), *idle],
    )


def survey_data(config: TrainConfig) -> Survey:
    """Look at headers and coordinates, and at sizes in voxels; voxels are not read.

    Raises
    ------
    ConfigError
        Listing every missing file, wrong voxel size, malformed coordinate file, centre
        outside its tomogram, tomogram in two parts, and class without particles.
    """
    names = [entry.name for entry in config.classes]
    found = survey(config.data, names, config.voxel_size)
    sizes = size_warnings(config.classes, config.label_diameters, config.voxel_size)
    if found.faults:
        raise ConfigError(listed("training data", found.faults, sizes))
    found.warnings[:0] = sizes
    return found


def label_volume(one: Surveyed, config: TrainConfig) -> npt.NDArray[np.uint8]:
    """Paint the weak labels of a tomogram.

    Returns
    -------
    ndarray
        (z, y, x) uint8: the class of each voxel, from 1; 0 for background.
    """
    return weak_labels(
        one.shape, one.xyz, one.class_id, config.label_diameters, config.labels.kind
    )


def _open(one: Surveyed, config: TrainConfig) -> AnnotatedTomogram:
    """Open one tomogram and paint its labels."""
    with open_volume(
        one.path, default_voxel_size=config.voxel_size, shape=one.shape
    ) as volume:
        stats = measure(volume)
        voxels = volume.array  # of a mapped or temporary file, which outlives this
    labels = label_volume(one, config)
    if not one.fully_annotated:
        diameters = np.array([entry.diameter for entry in config.classes])
        radii = diameters[one.class_id - 1] / 2 / config.voxel_size
        labels = hide_unannotated(labels, one.xyz, radii)
    return AnnotatedTomogram(
        name=one.name,
        voxels=voxels,
        mean=stats.mean,
        std=stats.std,
        labels=labels,
        xyz=one.xyz.astype(np.float32),
        class_id=one.class_id.astype(np.uint8),
        fully_annotated=one.fully_annotated,
        weight=one.weight,
    )


def _contrast_doubt(
    tomograms: list[AnnotatedTomogram], config: TrainConfig
) -> str | None:
    """Say when particles look bright where they should be dark, or the reverse."""
    reported = [k for k, entry in enumerate(config.classes, start=1) if entry.report]
    excesses: list[float] = []
    for one in tomograms:
        centres = one.xyz[np.isin(one.class_id, reported)]
        excesses += excess(one.voxels, one.mean, one.std, centres)
    found = believed(excesses)
    if found == 0 or (found > 0) == (config.contrast == "bright"):
        return None
    return (
        f"the given particles are {'brighter' if found > 0 else 'darker'} than the "
        f"rest, by {abs(found):.2f} standard deviations on average, and contrast = "
        f'"{config.contrast}": check contrast, and the order and unit of the '
        "coordinates"
    )
