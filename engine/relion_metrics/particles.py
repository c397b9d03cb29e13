"""Read a refinement's metrics of each particle from RELION's STAR files.

``rlnLogLikeliContribution`` is a particle's contribution to the log-likelihood of the
model, ``rlnMaxValueProbDistribution`` the largest probability of a single orientation
(and class) of it: 1 where one pose explains the particle and no other does (RELION's
metadata labels; Scheres, J. Struct. Biol. 180:519, 2012).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dep.engine.errors import MetricsError

if TYPE_CHECKING:
    from gemmi import cif

LIKELIHOOD = "rlnLogLikeliContribution"
PROBABILITY = "rlnMaxValueProbDistribution"
METRICS = (LIKELIHOOD, PROBABILITY)
CLASS = "rlnClassNumber"


@dataclass(frozen=True, slots=True, eq=False)
class ParticleMetrics:
    """The particles of one file.

    Attributes
    ----------
    name : str
        What to call the file.
    class_id : (n,) int64
        ``rlnClassNumber``; 1 where the file has none.
    values : dict of str to (n,) float64
        By metric; those that the file has.
    """

    name: str
    class_id: NDArray[np.int64]
    values: dict[str, NDArray[np.float64]]


def read_particles(
    path: str | PathLike[str], name: str | None = None
) -> ParticleMetrics:
    """Read particles: ``run_data.star``, ``particles.star`` and the like.

    Raises
    ------
    MetricsError
        No such file, not STAR, neither metric in it, or a field that is no number.
    """
    from gemmi import cif

    path = Path(path)
    try:
        document = cif.read_string(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror or error})"
        raise MetricsError(message) from error
    except UnicodeDecodeError as error:
        message = f"{path}: not a text file in UTF-8 (byte {error.start})"
        raise MetricsError(message) from error
    except (ValueError, RuntimeError) as error:  # the latter for a name used twice
        message = f"{path}: not a STAR file with particles ({error})"
        raise MetricsError(message) from error
    for block in document:
        columns = {tag: block.find_loop("_" + tag) for tag in METRICS}
        values = {
            tag: _numbers(path, tag, list(column))
            for tag, column in columns.items()
            if len(column)
        }
        if values:
            return _of(path, block, name or path.stem, values)
    message = (
        f"{path}: no particles with {LIKELIHOOD} or {PROBABILITY}; expected those of a "
        "RELION refinement or classification (such as run_data.star)"
    )
    raise MetricsError(message)


def _of(
    path: Path, block: "cif.Block", name: str, values: dict[str, NDArray[np.float64]]
) -> ParticleMetrics:
    many = {tag: len(one) for tag, one in values.items()}
    column = block.find_loop("_" + CLASS)
    classes = _numbers(path, CLASS, list(column)) if len(column) else None
    if classes is not None:
        many[CLASS] = len(classes)
    if len(set(many.values())) > 1:
        found = ", ".join(f"{rows} rows of {tag}" for tag, rows in many.items())
        message = f"{path}: block {block.name!r}: {found}; expected them in one loop"
        raise MetricsError(message)
    rows = next(iter(many.values()))
    if classes is None:
        classes = np.ones(rows)
    if (classes != np.rint(classes)).any() or (classes < 0).any():
        message = f"{path}: {CLASS}: expected whole numbers, found {classes.max():g}"
        raise MetricsError(message)
    return ParticleMetrics(name, classes.astype(np.int64), values)


def _numbers(path: Path, tag: str, column: Sequence[str]) -> NDArray[np.float64]:
    try:
        values = np.array(column, np.float64)
    except ValueError:
        values = _one_by_one(path, tag, column)
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        row = int(wrong[0])
        message = (
            f"{path}: row {row + 1}, {tag}: expected a finite number, found "
            f"{column[row]!r}"
        )
        raise MetricsError(message)
    return values


def _one_by_one(path: Path, tag: str, column: Sequence[str]) -> NDArray[np.float64]:
    """Read words of which one is no number, to name it."""
    values = np.empty(len(column))
    for row, word in enumerate(column):
        try:
            values[row] = float(word)
        except ValueError as error:
            message = f"{path}: row {row + 1}, {tag}: expected a number, found {word!r}"
            raise MetricsError(message) from error
    return values
