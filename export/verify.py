"""Compare a model file with the network it was made from: scores, then picks."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from dep.engine.card import ModelCard
from dep.engine.normalise import Normaliser, measure
from dep.engine.pipeline import TileReader
from dep.engine.runtime.onnxruntime_cpu import OnnxRuntimeCpu
from dep.engine.runtime.openvino_cpu import OpenVinoCpu
from dep.engine.tiles import plan_tiles
from dep.engine.volume import open_volume
from dep.kernels import assemble, available_threads, deduplicate, mp_nms
from dep.train.deployed import DeployedNetwork
from dep.train.runtime import TorchRuntime

if TYPE_CHECKING:
    from dep.engine.runtime.protocol import Runtime

TILES = 3
# Largest difference of scores that is float32 rounding over some thirty layers, and
# that rounding the weights to half precision makes (measured: about 1e-6 and 3e-3).
SCORE_TOLERANCE = 1e-4
HALF_SCORE_TOLERANCE = 1e-2
# Rounding every activation adds up over the layers; picks decide (measured on the
# bundled model: 0.0075 in float16, 0.035 in bfloat16).
TYPED_SCORE_TOLERANCE = {"fp16": 0.03, "bf16": 0.15}
# With 8 bits single scores at the rims of particles may be anything; what is bounded is
# the root of the mean squared difference (measured on the bundled model: 0.002), and
# the picks of more tiles.
INT8_SCORE_TOLERANCE = 0.01
INT8_TILES = 12
AGREEMENT = 0.99
SAME_PLACE = 1.0  # voxel


@dataclass(frozen=True)
class Comparison:
    """How well a model file agrees with its network.

    Attributes
    ----------
    on
        The tomogram, or "simulated noise" where none was at hand.
    tiles
        How many tiles were compared.
    difference, tolerance
        Difference of scores, and what is allowed: the largest, or with 8 bits the root
        of the mean square.
    network_picks, file_picks
        Picks from the network's and from the file's scores.
    agreement
        F1 of the two sets: same class, within one voxel.
    """

    on: str
    tiles: int
    difference: float
    tolerance: float
    network_picks: int
    file_picks: int
    agreement: float
    measure: Literal["at most", "in the root mean square"] = "at most"

    @property
    def agrees(self) -> bool:
        """Whether scores are within tolerance and picks agree to 0.99."""
        return self.difference <= self.tolerance and self.agreement >= AGREEMENT

    def __str__(self) -> str:
        if not self.network_picks and not self.file_picks:
            return (
                f"{self.tiles} tiles of {self.on}: scores differ by "
                f"{self.difference:.2g} {self.measure} (allowed {self.tolerance:g}); "
                "nothing was picked, so picks could not be compared"
            )
        return (
            f"{self.tiles} tiles of {self.on}: scores differ by {self.difference:.2g} "
            f"{self.measure} (allowed {self.tolerance:g}); {self.network_picks} picks "
            f"by the network, {self.file_picks} by the file, F1 agreement "
            f"{self.agreement:.4f} (at least {AGREEMENT})"
        )


def compare(
    network: DeployedNetwork,
    path: Path,
    card: ModelCard,
    tomogram: Path | None,
    *,
    half_weights: bool = False,
) -> Comparison:
    """Run network and file on the same tiles and compare scores and picks.

    Parameters
    ----------
    network
        The reference, in torch.
    path
        The ONNX file, opened with ONNX Runtime; one typed bfloat16 or int8 with
        OpenVINO: the former has no such convolutions for processors, or slow ones.
    card
        Its card.
    tomogram
        Whose tiles to take; None: noise of unit variance.
    half_weights
        Allow for weights rounded to half precision.
    """
    reference = TorchRuntime(network, torch.device("cpu"), threads=available_threads())
    runtime = cpu_runtime(path, card)
    int8 = card.precision == "int8"
    largest, squares, counts, both = 0.0, [0.0], [0, 0], 0
    tiles = read_tiles(card, tomogram, INT8_TILES if int8 else TILES)
    try:
        for tile in tiles:
            ours = reference.infer(tile)
            theirs = runtime.infer(tile)
            apart = np.abs(ours - theirs)
            largest = max(largest, float(apart.max()))
            squares.append(float(np.square(apart).mean()))
            a, b = _picks(ours[0], card), _picks(theirs[0], card)
            counts[0] += len(a)
            counts[1] += len(b)
            both += _matches(a, b)
    finally:
        runtime.close()
    total = sum(counts)
    return Comparison(
        on="simulated noise" if tomogram is None else tomogram.name,
        tiles=len(tiles),
        difference=float(np.sqrt(sum(squares) / len(tiles))) if int8 else largest,
        tolerance=_tolerance(card, half_weights),
        network_picks=counts[0],
        file_picks=counts[1],
        agreement=2 * both / total if total else 1.0,
        measure="in the root mean square" if int8 else "at most",
    )


def _tolerance(card: ModelCard, half_weights: bool) -> float:
    """Return how far scores may be apart."""
    if card.precision == "int8":
        return INT8_SCORE_TOLERANCE
    otherwise = HALF_SCORE_TOLERANCE if half_weights else SCORE_TOLERANCE
    return TYPED_SCORE_TOLERANCE.get(card.precision, otherwise)


def cpu_runtime(path: Path, card: ModelCard) -> "Runtime":
    """Open a model file with what computes its precision well on a processor."""
    opened = OpenVinoCpu if card.precision in ("bf16", "int8") else OnnxRuntimeCpu
    return opened(path, card, precision="f32", threads=available_threads(), batch=1)


def read_tiles(
    card: ModelCard, tomogram: Path | None, count: int
) -> list[NDArray[np.float32]]:
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
    with open_volume(tomogram, voxel_size=card.voxel_size) as volume:
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
