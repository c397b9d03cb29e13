"""How well networks agree that should compute the same: scores, then picks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dep.engine.card import ModelCard
from dep.engine.normalise import Normaliser, measure
from dep.engine.pipeline import TileReader
from dep.engine.runtime.protocol import Runtime
from dep.engine.tiles import plan_tiles
from dep.engine.volume import open_volume
from dep.kernels import assemble, deduplicate, mp_nms

TILES = 3
# With 8 bits single scores say little (see `rounding`): the picks of more tiles do.
INT8_TILES = 12
AGREEMENT = 0.99
SAME_PLACE = 1.0  # voxel


@dataclass(frozen=True)
class Comparison:
    """How well two networks agree.

    Attributes
    ----------
    on
        The tomogram, or "simulated noise" where none was at hand.
    tiles
        How many tiles were compared.
    between
        What the two are called: "the network", "the file".
    difference, tolerance
        Difference of scores, and what is allowed: the largest, or with 8 bits the root
        of the mean square.
    picks
        How many come from the scores of each.
    agreement
        F1 of the two sets: same class, within one voxel.
    """

    on: str
    tiles: int
    between: tuple[str, str]
    difference: float
    tolerance: float
    picks: tuple[int, int]
    agreement: float
    measure: Literal["at most", "in the root mean square"] = "at most"

    @property
    def agrees(self) -> bool:
        """Whether scores are within tolerance and picks agree to 0.99."""
        return self.difference <= self.tolerance and self.agreement >= AGREEMENT

    def __str__(self) -> str:
        a, b = self.between
        scores = (
            f"{self.tiles} tiles of {self.on}: scores of {a} and {b} differ by "
            f"{self.difference:.2g} {self.measure} (allowed {self.tolerance:g}); "
        )
        if not any(self.picks):
            return scores + "nothing was picked, so picks could not be compared"
        return scores + (
            f"{self.picks[0]} picks by {a}, {self.picks[1]} by {b}, "
            f"F1 agreement {self.agreement:.4f} (at least {AGREEMENT})"
        )


def compare_runtimes(
    runtimes: Mapping[str, tuple[Runtime, float]],
    card: ModelCard,
    tomogram: Path | None,
) -> list[Comparison]:
    """Run networks on the same tiles, and compare each with each other.

    Parameters
    ----------
    runtimes
        Their names for people, and how far the scores of each may be from exact ones;
        two may be as far apart as both together.
    card
        That all of them have.
    tomogram
        Whose tiles to take; None: noise of unit variance.

    Returns
    -------
    list of Comparison
        One for every two, in the order of `runtimes`.
    """
    int8 = card.precision == "int8"
    tiles = read_tiles(card, tomogram, INT8_TILES if int8 else TILES)
    # Of a network that is bound to its tile the file leaves out margins.
    low = card.margin if card.tile_fixed else 0
    core = (slice(None), *(slice(low, card.tile - low),) * 3)
    pairs = list(combinations(runtimes, 2))
    largest, squares = dict.fromkeys(pairs, 0.0), dict.fromkeys(pairs, 0.0)
    both = dict.fromkeys(pairs, 0)
    counts = dict.fromkeys(runtimes, 0)
    for tile in tiles:
        # A runtime may write its next scores where these are.
        scores = {
            name: np.array(runtime.infer(tile)[0][core], dtype=np.float32)
            for name, (runtime, _) in runtimes.items()
        }
        picks = {name: _picks(one, card) for name, one in scores.items()}
        for name, found in picks.items():
            counts[name] += len(found)
        for a, b in pairs:
            apart = np.abs(scores[a] - scores[b])
            # `fmax` would hide scores that are no numbers.
            largest[a, b] = float(np.maximum(largest[a, b], apart.max()))
            squares[a, b] += float(np.square(apart).mean())
            both[a, b] += _matches(picks[a], picks[b])
    return [
        Comparison(
            on="simulated noise" if tomogram is None else tomogram.name,
            tiles=len(tiles),
            between=(a, b),
            difference=(
                float(np.sqrt(squares[a, b] / len(tiles))) if int8 else largest[a, b]
            ),
            tolerance=runtimes[a][1] + runtimes[b][1],
            picks=(counts[a], counts[b]),
            agreement=_f1(both[a, b], counts[a] + counts[b]),
            measure="in the root mean square" if int8 else "at most",
        )
        for a, b in pairs
    ]


def _f1(both: int, total: int) -> float:
    return 2 * both / total if total else 1.0


def read_tiles(
    card: ModelCard, tomogram: Path | None, count: int
) -> Sequence[NDArray[np.float32]]:
    """Return normalised tiles (1, 1, N, N, N), spread over a tomogram.

    Parameters
    ----------
    card
        Of the model that sees them.
    tomogram
        None: noise of unit variance.
    count
        At most so many.
    """
    edge = card.tile
    if tomogram is None:
        rng = np.random.default_rng(0)
        return [
            rng.standard_normal((1, 1, edge, edge, edge), dtype=np.float32)
            for _ in range(min(count, TILES))
        ]
    size = card.voxel_size
    with open_volume(tomogram, default_voxel_size=size, near=size) as volume:
        normalise = Normaliser.zscore(measure(volume))
        plan = plan_tiles(volume.shape, edge, card.margin)
        reader = TileReader(volume, normalise, plan)
        tiles = list(plan)
        chosen = np.linspace(0, len(tiles) - 1, min(count, len(tiles))).round()
        batches = []
        for k in chosen:
            batch = np.empty((1, 1, edge, edge, edge), dtype=np.float32)
            reader.fill([tiles[int(k)]], batch)
            batches.append(batch)
        return batches


def _picks(scores: NDArray[np.float32], card: ModelCard) -> NDArray[np.float64]:
    """Return the picks of one tile's scores (c, z, y, x): rows class, x, y, z."""
    labels = np.zeros(scores.shape[1:], dtype=np.uint8)
    probability = np.zeros_like(labels)
    joint = card.assembly == "joint"
    assemble(
        scores,
        labels,
        probability,
        (0, 0, 0),
        (0, 0, 0),
        labels.shape,
        t_seg=card.t_seg,
        joint=joint,
        background=card.activation == "softmax",
    )
    found = mp_nms(labels, card.iterations, card.t_lm, probability, joint=joint)
    kept = deduplicate(found.xyz, found.score, card.t_dist)
    return np.column_stack(
        (found.class_id[kept].astype(np.float64), found.xyz[kept].astype(np.float64))
    )


def _matches(a: NDArray[np.float64], b: NDArray[np.float64]) -> int:
    """Count picks of `a` that have one of `b` of the same class at their place.

    Picks of one set are further apart than the two places may be, so that none is
    counted twice.
    """
    if not len(a) or not len(b):
        return 0
    distance = np.linalg.norm(a[:, None, 1:] - b[None, :, 1:], axis=2)
    same = (distance <= SAME_PLACE) & (a[:, None, 0] == b[None, :, 0])
    return int(same.any(axis=1).sum())
