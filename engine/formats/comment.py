"""The comment line in which our STAR files keep what has no column."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dep.engine.card import ClassInfo
from dep.engine.formats.frame import Frame
from dep.engine.mrc import MAX_EDGE

if TYPE_CHECKING:
    from dep.engine.picks import Picks

COMMENT = "# dep: "
CENTRE = "centre_xyz"  # in voxels, which coordinates count from
NUMBER = "number"  # of a tomogram, where the format knows no names


def frame_comments(
    picks: Sequence["Picks"],
    numbers: Mapping[str, int] | None = None,
    centres: Mapping[str, list[float]] | None = None,
) -> str:
    """Give the comment lines of some tomograms, which all have one class table.

    `numbers` are kept too, for formats that know tomograms by number, and `centres`
    (x, y, z in voxels), for those that count from there.
    """
    lines = []
    for one in picks:
        document: dict[str, Any] = {
            "tomogram": one.tomogram,
            "shape_zyx": one.shape,
            "voxel_size": one.voxel_size,
            "classes": [[kind.name, kind.diameter] for kind in one.classes],
        }
        if numbers is not None:
            document[NUMBER] = numbers[one.tomogram]
        if centres is not None:
            document[CENTRE] = centres[one.tomogram]
        if one.model is not None:
            document["model"] = one.model.name
            document["weights"] = one.model.weights_digest
        lines.append(f"{COMMENT}{json.dumps(document)}\n")
    return "".join(lines)


def comment_frames(text: str) -> dict[str, Frame]:
    """Read frames by tomogram back from the comment lines at the head of a file."""
    return {said["tomogram"]: frame for said, frame in read_comments(text)}


def read_comments(text: str) -> list[tuple[dict[str, Any], Frame]]:
    """Read what the comment lines at the head of a file say, and the frames of it.

    A comment that was edited by hand so that it makes no sense is passed over: the
    rows are the data, and what is missing is asked for where it is needed.
    """
    found = []
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        line = text[start:end]
        start = end + 1
        if not line.startswith("#") and line.strip():
            break
        if not line.startswith(COMMENT):
            continue
        try:
            document = json.loads(line[len(COMMENT) :])
            document["tomogram"] = str(document["tomogram"])
            found.append((document, _frame(document)))
        except (
            ValueError,
            KeyError,
            TypeError,
            IndexError,
            OverflowError,
            RecursionError,
        ):
            continue
    return found


def _frame(document: Any) -> Frame:  # noqa: ANN401 - whatever the JSON holds
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
    origin = document.get(CENTRE)
    if origin is not None:
        x, y, z = (float(place) for place in origin)
        origin = (x, y, z)
        if not all(0 <= place <= MAX_EDGE for place in origin):
            message = f"no centre of a tomogram: {origin}"
            raise ValueError(message)
    return Frame(shape, size, classes or None, origin=origin)
