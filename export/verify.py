"""Compare a model file with the network it was made from: scores, then picks."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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
        Largest absolute difference of a score, and what is allowed.
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

    @property
    def agrees(self) -> bool:
        """Whether scores are within tolerance and picks agree to 0.99."""
        return self.difference <= self.tolerance and self.agreement >= AGREEMENT

    def __str__(self) -> str:
        if not self.network_picks and not self.file_picks:
            return (
                f"{self.tiles} tiles of {self.on}: scores differ by "
                f"{self.difference:.2g} at most (allowed {self.tolerance:g}); nothing "
                "was picked, so picks could not be compared"
            )
        return (
            f"{self.tiles} tiles of {self.on}: scores differ by {self.difference:.2g} "
            f"at most (allowed {self.tolerance:g}); {self.network_picks} picks by the "
            f"network, {self.file_picks} by the file, F1 agreement "
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
        The ONNX file, opened with ONNX Runtime; one typed bfloat16 with OpenVINO, as
        the former has no such convolutions for processors.
    card
        Its card.
    tomogram
        Whose tiles to take; None: noise of unit variance.
    half_weights
        Allow for weights rounded to half precision.
    """
    threads = available_threads()
    reference = TorchRuntime(network, torch.device("cpu"), threads=threads)
    opened = OpenVinoCpu if card.precision == "bf16" else OnnxRuntimeCpu
    runtime: Runtime = opened(path, card, precision="f32", threads=threads, batch=1)
    difference, counts, both = 0.0, [0, 0], 0
    tiles = _tiles(card, tomogram)
    try:
        for tile in tiles:
            ours = reference.infer(tile)
            theirs = runtime.infer(tile)
            difference = max(difference, float(np.abs(ours - theirs).max()))
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
        difference=difference,
        tolerance=TYPED_SCORE_TOLERANCE.get(
            card.precision, HALF_SCORE_TOLERANCE if half_weights else SCORE_TOLERANCE
        ),
        network_picks=counts[0],
        file_picks=counts[1],
        agreement=2 * both / total if total else 1.0,
    )


def _tiles(card: ModelCard, tomogram: Path | None) -> list[NDArray[np.float32]]:
    """Return a few normalised tiles (1, 1, N, N, N), spread over the tomogram."""
    edge = card.tile
    if tomogram is None:
        rng = np.random.default_rng(0)
        return [
            rng.standard_normal((1, 1, edge, edge, edge), dtype=np.float32)
            for _ in range(TILES)
        ]
    with open_volume(tomogram, voxel_size=card.voxel_size) as volume:
        normalise = Normaliser.zscore(measure(volume))
        plan = plan_tiles(volume.shape, edge, card.margin)
        reader = TileReader(volume, normalise, plan)
        tiles = list(plan)
        chosen = np.linspace(0, len(tiles) - 1, min(TILES, len(tiles))).round()
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
