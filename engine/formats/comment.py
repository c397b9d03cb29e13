"""The comment line in which our STAR files keep what has no column."""

import json
import math
from collections.abc import Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any

from dep.engine.card import ClassInfo
from dep.engine.formats.frame import Frame
from dep.engine.mrc import MAX_EDGE

if TYPE_CHECKING:
    from dep.engine.picks import Picks

COMMENT = "# dep: "


def frame_comments(picks: Sequence["Picks"]) -> str:
    """Give the comment lines of some tomograms, which all have one class table."""
    return "".join(_comment(one) + "\n" for one in picks)


def _comment(picks: "Picks") -> str:
    document: dict[str, Any] = {
        "tomogram": picks.tomogram,
        "shape_zyx": picks.shape,
        "voxel_size": picks.voxel_size,
        "classes": [[one.name, one.diameter] for one in picks.classes],
    }
    if picks.model is not None:
        document["model"] = picks.model.name
        document["weights"] = picks.model.weights_digest
    return COMMENT + json.dumps(document)


def comment_frames(text: str) -> dict[str, Frame]:
    """Read frames by tomogram back from the comment lines at the head of a file.

    A comment that was edited by hand so that it makes no sense is passed over: the
    rows are the data, and what is missing is asked for where it is needed.
    """
    frames: dict[str, Frame] = {}
    for line in StringIO(text):
        if not line.startswith("#") and line.strip():
            break
        if not line.startswith(COMMENT):
            continue
        try:
            name, frame = _frame(json.loads(line[len(COMMENT) :]))
        except (
            ValueError,
            KeyError,
            TypeError,
            IndexError,
            OverflowError,
            RecursionError,
        ):
            continue
        frames[name] = frame
    return frames


def _frame(document: Any) -> tuple[str, Frame]:  # noqa: ANN401 - whatever the JSON holds
    shape, size = document["shape_zyx"], document["voxel_size"]
    if shape is not None:
        shape = (int(shape[0]), int(shape[1]), int(shape[2]))
        if not all(1 <= edge <= MAX_EDGE for edge in shape):
            message = f"no shape of a tomogram: {shape}"
            raise ValueError(message)
    if size is not None:
        size = float(size)
        if not 0 < size < math.inf:
            message = f"no voxel size: {size}"
            raise ValueError(message)
    classes = tuple(
        ClassInfo(str(name), float(diameter)) for name, diameter in document["classes"]
    )
    if not all(0 <= one.diameter < math.inf for one in classes):
        message = "diameters that make no sense"
        raise ValueError(message)
    return str(document["tomogram"]), Frame(shape, size, classes or None)
