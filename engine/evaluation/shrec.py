"""The rule of "SHREC 2021: Classification in cryo-electron tomograms".

Sources: Gubins et al., Eurographics Workshop on 3D Object Retrieval, 2021
(arXiv:2203.10035), and the evaluation script that the organisers gave with the data
(``eval.py``), whose steps these are:

* A pick is rounded to a voxel and moved to the nearest one of the tomogram where it
  lies outside (counted). The occupancy volume says whose voxel that is: 0 is nobody's,
  k is the particle of row k of the truth. The volume is first dilated by one step (the
  largest of a voxel and its six neighbours).
* TP: particles with at least one pick. FN: particles with none. FP: picks on nobody's
  voxels. MH: particles with more than one pick.
* Recall = TP / particles, precision = TP / picks (all picks: a second one on a particle
  lowers it, and so does one on a particle that is left out), F1 their harmonic mean,
  miss rate 1 - recall.
* The first pick of a particle counts, in the order of the file: here the best score
  first, and the order of the file among equals. Its distance, from the rounded pick to
  the particle's centre, goes into the average distance AD; its class is what the
  particle was classified as.
* Classification: of the particles alone, found or not (picks on nobody's voxels have no
  part): per class, TP / particles is recall, TP / particles classified so is precision.

Rows whose class is not in the class table (as the script's 4V94 and vesicles) are not
among the particles. The script left vesicles in their number, and counted gold beads
("fiducial") as a class like the others: give them a class to do as it did.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dep.engine.errors import TomogramError
from dep.engine.evaluation.bootstrap import Points
from dep.engine.evaluation.cases import Case, Cases, Pairs
from dep.engine.evaluation.curve import sweep_covered
from dep.engine.evaluation.events import Events
from dep.engine.evaluation.ratios import Array, rates, share
from dep.engine.evaluation.rule import RuleResult
from dep.engine.metrics import Rates
from dep.engine.volume import open_volume

SOURCE = "arXiv:2203.10035 and the organisers' eval.py"
# Of the particles; their centres are on their own voxels, but for hollow ones. In a
# volume of another frame next to none is.
LEAST_THERE = 0.1
_ENDINGS = (".mrc", ".mrc.gz", ".mrc.bz2", ".map", ".rec")
# A voxel and its neighbours by a face; x, y, z.
_CROSS = ((0, 0, 0), *((0, 0, s) for s in (-1, 1)), *((0, s, 0) for s in (-1, 1)))
_CROSS += tuple((s, 0, 0) for s in (-1, 1))


def occupancies_of(path: Path, cases: Cases) -> list[Path]:
    """Find the occupancy volume of each tomogram: one file, or a folder of NAME.mrc.

    Raises
    ------
    TomogramError
        One file for several tomograms, or a folder that lacks one.
    """
    if not path.is_dir():
        if len(cases.each) != 1:
            message = (
                f"{path}: is one file for {len(cases.each)} tomograms; expected a "
                "folder with an occupancy volume NAME.mrc for each"
            )
            raise TomogramError(message)
        return [path]
    there: dict[str, Path] = {}
    for case in cases.each:
        for ending in _ENDINGS:
            if (path / f"{case.tomogram}{ending}").is_file():
                there.setdefault(case.tomogram, path / f"{case.tomogram}{ending}")
    lacking = [one.tomogram for one in cases.each if one.tomogram not in there]
    if lacking:
        message = (
            f"{path}: no occupancy volume NAME.mrc of {', '.join(lacking[:5])}"
            f"{' and others' if len(lacking) > 5 else ''}"
        )
        raise TomogramError(message)
    return [there[one.tomogram] for one in cases.each]


def owners(path: Path, xyz: NDArray[np.float64]) -> tuple[NDArray[np.int64], Array]:
    """Say whose voxel each point lies on, in the dilated volume.

    Only the voxels looked at are read.

    Parameters
    ----------
    path : path
        MRC; whole numbers, 0 is nobody.
    xyz : (n, 3) float64
        In voxels.

    Returns
    -------
    owner : (n,) int64
        Row of the truth, from 1, or 0.
    voxel : (n, 3) float64
        The points rounded and moved into the volume.

    Raises
    ------
    TomogramError
        A volume that cannot be read, or that holds no whole numbers from 0.
    """
    with open_volume(path, voxel_size=1.0) as volume:
        voxels = volume.array
        top = np.array(voxels.shape[::-1]) - 1
        voxel = np.rint(xyz).clip(0, top)
        owner = np.zeros(len(xyz), np.int64)
        for step in _CROSS:
            x, y, z = (voxel + np.array(step)).clip(0, top).astype(np.int64).T
            found = np.asarray(voxels[z, y, x], np.float64)
            if not (found == np.floor(found)).all() or (found < 0).any():
                message = (
                    f"{path}: expected an occupancy volume of whole numbers (0 for "
                    "nothing, k for the particle of row k), found others"
                )
                raise TomogramError(message)
            owner = np.maximum(owner, found.astype(np.int64))
    return owner, voxel


def shrec(cases: Cases, events: Events, occupancies: Sequence[Path]) -> RuleResult:
    """Score picks by SHREC 2021's rule.

    Parameters
    ----------
    cases : Cases
        Picks and truth.
    events : Events
        Of these cases; intervals are drawn from them.
    occupancies : sequence of path
        The occupancy volume of each case.

    Raises
    ------
    TomogramError
        As `owners`, or a volume that names rows which the truth has not, or in which
        the truth's particles lie elsewhere.
    """
    score = cases.score
    particles = len(cases.true_as)
    first = np.full(particles, -1)  # pick that counts, of each particle
    hits_on = np.zeros(particles, np.int64)
    distance = np.full(particles, np.nan)
    nobody = np.zeros(len(score), bool)
    outside = left_out = 0
    pick_at = particle_at = 0
    pairs: list[tuple[int, int]] = []
    for case, path in zip(cases.each, occupancies, strict=True):
        owner, voxel = owners(path, case.picks)
        _check(path, case, owner)
        _fits(path, case)
        outside += int((voxel != np.rint(case.picks)).any(axis=1).sum())
        nobody[pick_at : pick_at + len(owner)] = owner == 0
        at_row = {row: at for at, row in enumerate(case.row.tolist())}
        for pick in np.argsort(-case.score, kind="stable").tolist():
            particle = at_row.get(int(owner[pick]))
            if particle is None:
                left_out += int(owner[pick] > 0)
                continue
            whole = particle_at + particle
            pairs.append((pick_at + pick, whole))
            if first[whole] < 0:
                first[whole] = pick_at + pick
                apart = voxel[pick] - case.truth[particle]
                distance[whole] = np.sqrt((apart**2).sum())
            hits_on[whole] += 1
        pick_at += len(case.picks)
        particle_at += len(case.truth)
    found = first >= 0
    overall = Rates(int(found.sum()), len(score), particles)
    called = np.where(found, np.append(cases.picked_as, 0)[first], 0)
    both = np.array(pairs, np.int64).reshape(-1, 2)
    curve = sweep_covered(
        Pairs(both[:, 0], both[:, 1], np.zeros(len(both))), score, particles
    )
    return RuleResult(
        name="shrec",
        beta=1.0,
        figures={
            **_figures(overall, distance[found]),
            "reported": len(score),
            "false_positives": int(nobody.sum()),
            "false_negatives": int((~found).sum()),
            "multiple_hits": int((hits_on > 1).sum()),
            "outside": outside,
            "on_left_out": left_out,
        },
        per_class=_per_class(cases, called),
        curves={"": curve},
        best={"localisation": curve.best_to_dict(1.0)},
        points=_points(events, cases, found, distance, called),
        confusion=_confusion(cases, called),
        source=SOURCE,
    )


def _check(path: Path, case: Case, owner: NDArray[np.int64]) -> None:
    rows = len(case.truth) + sum(case.left_out.values())
    if owner.max(initial=0) > rows:
        message = (
            f"{path}: names particle {owner.max()}, but the truth of {case.tomogram} "
            f"has {rows} rows; expected the number of the row, from 1"
        )
        raise TomogramError(message)


def _fits(path: Path, case: Case) -> None:
    """Refuse a volume in which hardly a particle lies where the truth says."""
    centres, _ = owners(path, case.truth)
    there = int((centres == case.row).sum())
    if there < LEAST_THERE * len(case.truth):
        message = (
            f"{path}: only {there} of {len(case.truth)} particles of {case.tomogram} "
            "have their centre on voxels of their row: expected the volume of this "
            "tomogram, with as many planes, in the frame of the coordinates"
        )
        raise TomogramError(message)


def _figures(overall: Rates, distance: Array) -> dict[str, Any]:
    return {
        **overall.to_dict(),
        "miss_rate": 1 - overall.recall,
        "mean_distance": float(distance.mean()) if len(distance) else None,
    }


def _per_class(cases: Cases, called: NDArray[np.int64]) -> dict[str, Rates]:
    true_as = cases.true_as
    return {
        name: Rates(
            int(((true_as == number) & (called == number)).sum()),
            int((called == number).sum()),
            int((true_as == number).sum()),
        )
        for number, name in enumerate(cases.names, start=1)
    }


def _confusion(cases: Cases, called: NDArray[np.int64]) -> list[list[int]]:
    many = len(cases.names) + 1
    confusion = np.zeros((many, many), np.int64)
    np.add.at(confusion, (cases.true_as, called), 1)
    result: list[list[int]] = confusion.tolist()
    return result


def _points(
    events: Events,
    cases: Cases,
    found: NDArray[np.bool_],
    distance: Array,
    called: NDArray[np.int64],
) -> Points:
    """Count per event: found, its distance, picks, particles; per class as called."""
    many = len(cases.names)
    values = np.zeros((len(events.case), 4 + 3 * many))
    there = np.flatnonzero(events.particle >= 0)
    particle = events.particle[there]
    true_as = cases.true_as[particle]
    values[there, 0] = found[particle]
    values[there, 1] = np.nan_to_num(distance[particle])
    values[events.pick >= 0, 2] = 1
    values[there, 3] = 1
    values[there, 3 + true_as] = called[particle] == true_as
    known = called[particle] > 0
    values[there[known], 3 + many + called[particle][known]] = 1
    values[there, 3 + 2 * many + true_as] = 1

    def figures(sums: Array) -> dict[str, Array]:
        result = rates(sums[:, 0], sums[:, 2], sums[:, 3], 1.0)
        result["mean_distance"] = share(sums[:, 1], sums[:, 0])
        hits, picks, particles = np.split(sums[:, 4:], 3, axis=1)
        per_class = rates(hits, picks, particles, 1.0)
        for at, name in enumerate(cases.names):
            result |= {
                f"per_class.{name}.{figure}": value[:, at]
                for figure, value in per_class.items()
            }
        return result

    return Points(np.arange(len(events.case)), values, figures)
