"""Write what a comparison found: pick files by combination of sets, and tables."""

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dep.engine.atomic import atomic_text
from dep.engine.comparison.comparison import Comparison
from dep.engine.errors import PicksError
from dep.engine.formats import FORMATS, Holds, write_picks
from dep.engine.picks import Picks

INTERSECTION = "intersection"
DOCUMENT, TABLE = "comparison.json", "combinations.csv"


def stems(comparison: Comparison) -> dict[tuple[int, ...], str]:
    """Name the pick file of each combination: "intersection", "only_A", "A+B".

    Raises
    ------
    PicksError
        Names of sets that no file names can tell apart.
    """
    names = [re.sub(r"[^\w.-]+", "_", name) for name in comparison.names]
    every = tuple(range(len(names)))
    found = {
        some: INTERSECTION
        if some == every
        else f"only_{names[some[0]]}"
        if len(some) == 1
        else "+".join(names[at] for at in some)
        for some in comparison.combinations()
    }
    if len({name.lower() for name in found.values()}) < len(found):
        message = (
            f"the sets' names ({', '.join(comparison.names)}) give files of one name; "
            "choose others (--names)"
        )
        raise PicksError(message)
    return found


def members(comparison: Comparison, sets: tuple[int, ...]) -> list[Picks]:
    """Give the particles that these sets hold and no other, by tomogram.

    Each as the first of the sets has it: its coordinates, class and score.
    """
    found = []
    for one in comparison.each:
        first = sets[0]
        rows = [
            int(row[first])
            for row, there in zip(one.member, one.combination(), strict=True)
            if there == sets
        ]
        picks = one.picks[first]
        found.append(
            replace(
                picks,
                xyz=picks.xyz[rows],
                class_id=picks.class_id[rows],
                score=picks.score[rows],
            )
        )
    return found


def outputs(comparison: Comparison, folder: Path, form: str) -> list[Path]:
    """Name what `write` would write: files, and folders of a file a tomogram."""
    kind = FORMATS[form]
    one_file = len(comparison.each) == 1 or Holds.SEVERAL in kind.holds
    return [
        kind.path_of(folder, stem) if one_file and not kind.folder else folder / stem
        for stem in stems(comparison).values()
    ] + [folder / DOCUMENT, folder / TABLE]


def write(
    comparison: Comparison, folder: Path, form: str
) -> tuple[list[Path], list[str]]:
    """Write the pick files, ``comparison.json`` and ``combinations.csv``.

    Parameters
    ----------
    comparison : Comparison
        What was found.
    folder : path
        Missing folders are made.
    form : str
        Of the pick files, a name in `dep.engine.formats.FORMATS`. Several tomograms
        are one file where the format holds several, else a folder of a file each.

    Returns
    -------
    written, losses
        Files and folders, and what the format has no place for.

    Raises
    ------
    PicksError
        A file that cannot be written, or a format that needs what is unknown.
    """
    paths = outputs(comparison, folder, form)
    losses: dict[str, None] = {}
    for sets, path in zip(stems(comparison), paths, strict=False):
        found = members(comparison, sets)
        kind = FORMATS[form]
        if len(found) == 1 or Holds.SEVERAL in kind.holds:
            losses |= dict.fromkeys(write_picks(found, path, form))
            continue
        for picks in found:
            target = kind.target_of(path, picks.tomogram)
            losses |= dict.fromkeys(write_picks([picks], target, form))
    with atomic_text(folder / DOCUMENT) as stream:
        json.dump(comparison.to_dict(), stream, indent=1)
        stream.write("\n")
    with atomic_text(folder / TABLE) as stream:
        csv.writer(stream, lineterminator="\n").writerows(table(comparison))
    return paths, list(losses)


def table(comparison: Comparison) -> Iterator[list[object]]:
    """Give the rows of an upset table: 1 for each set in the combination, then counts.

    One column of counts for all classes and one for each.
    """
    kinds = comparison.by_kind()
    yield [*comparison.names, "particles", *kinds]
    for sets, count in comparison.combinations().items():
        inside = [int(at in sets) for at in range(len(comparison.names))]
        yield [*inside, count, *(kinds[kind][sets] for kind in kinds)]
