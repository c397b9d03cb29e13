"""Validation on picks made by the deployed post-processing."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from dep.engine.card import ModelCard
from dep.engine.metrics import evaluate
from dep.engine.normalise import Normaliser
from dep.engine.pipeline import stream
from dep.engine.settings import PickSettings
from dep.engine.tiles import plan_tiles
from dep.engine.volume import Volume
from dep.kernels import available_threads, deduplicate
from dep.train.card import make_card
from dep.train.config import TrainConfig
from dep.train.data import AnnotatedTomogram
from dep.train.deployed import DeployedNetwork
from dep.train.network import ResUNet3D
from dep.train.runtime import TorchRuntime

ALPHA = 3  # Liu et al. 2024: recall counts more than precision


@dataclass(frozen=True)
class Validation:
    """Scores of picks against annotated centres, means over the tomograms.

    Attributes
    ----------
    precision, recall, f1
        Of localisation, whatever the class.
    f1_alpha
        2 P R^alpha / (P + R^alpha), alpha = 3 (Liu et al. 2024).
    mean_distance
        Of hits, voxels.
    class_f1
        Mean F1 of the classes.
    partial
        Not every particle of the tomograms is annotated: picks on the others count
        as false, so that the true precision, and with it F1, is this or higher.
    """

    precision: float
    recall: float
    f1: float
    f1_alpha: float
    mean_distance: float
    class_f1: float
    partial: bool = False


@dataclass(frozen=True)
class Picked:
    """What was picked in one tomogram, and how well.

    Attributes
    ----------
    tomogram
        Its name.
    xyz
        (n, 3) float32, picks in voxels.
    class_id
        (n,) of the picks, from 1, counting the reported classes alone.
    score
        (n,) float32.
    scores
        Against the annotated centres; None where none are of a reported class.
    """

    tomogram: str
    xyz: npt.NDArray[np.float32]
    class_id: npt.NDArray[np.integer]
    score: npt.NDArray[np.float32]
    scores: Validation | None


def f1_alpha(precision: float, recall: float, alpha: float = ALPHA) -> float:
    """Return 2 P R^alpha / (P + R^alpha), 0 where both are 0."""
    weighted = recall**alpha
    total = precision + weighted
    return 2 * precision * weighted / total if total > 0 else 0.0


def validate(
    network: ResUNet3D,
    config: TrainConfig,
    tomograms: Sequence[AnnotatedTomogram],
    device: torch.device,
    tick: Callable[[], None] = lambda: None,
) -> list[Picked]:
    """Pick whole tomograms as `dep pick` would and score the picks.

    Parameters
    ----------
    network
        On `device`, in evaluation mode.
    config
        Of the training; its `[picking]` decides tiles and thresholds.
    tomograms
        What to pick.
    device
        Where to compute.
    tick
        Called after each tile; may raise to stop.
    """
    card = make_card(config)
    runtime = TorchRuntime(
        DeployedNetwork(network, [entry.report for entry in config.classes]),
        device,
        threads=available_threads(),
        bf16=config.training.precision == "bf16",
    )
    return [
        _pick(runtime, card, config, tomogram, lambda *_: tick())
        for tomogram in tomograms
    ]


def mean_scores(picked: Sequence[Picked]) -> Validation | None:
    """Return the mean over the tomograms, None where none has scores."""
    scores = [one.scores for one in picked if one.scores is not None]
    if not scores:
        return None

    def mean(name: str) -> float:
        # A tomogram without a hit has no mean distance.
        values = [getattr(one, name) for one in scores]
        known = [value for value in values if math.isfinite(value)]
        return sum(known) / len(known) if known else math.nan

    return Validation(
        precision=mean("precision"),
        recall=mean("recall"),
        f1=mean("f1"),
        f1_alpha=mean("f1_alpha"),
        mean_distance=mean("mean_distance"),
        class_f1=mean("class_f1"),
        partial=any(one.partial for one in scores),
    )


def reported(
    config: TrainConfig, tomogram: AnnotatedTomogram
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return the annotated centres of the classes that are picked.

    Returns
    -------
    xyz, class_id
        (n, 3) in voxels; (n,) from 1, counting the reported classes alone.
    """
    numbers = [k + 1 for k, entry in enumerate(config.classes) if entry.report]
    counts = np.isin(tomogram.class_id, numbers)
    class_id = np.searchsorted(numbers, tomogram.class_id[counts]) + 1
    return tomogram.xyz[counts], class_id


def _pick(
    runtime: TorchRuntime,
    card: ModelCard,
    config: TrainConfig,
    tomogram: AnnotatedTomogram,
    tick: Callable[[int, int, str], None],
) -> Picked:
    settings = PickSettings.of(card)
    volume = Volume(tomogram.voxels, config.voxel_size, tomogram.name)
    streamed = stream(
        volume,
        Normaliser(tomogram.mean, 1 / tomogram.std),
        plan_tiles(volume.shape, card.tile, card.margin),
        runtime,
        settings,
        background=card.activation == "softmax",
        progress=tick,
    )
    parts = streamed.candidates
    xyz = np.concatenate([part.xyz for part in parts])
    class_id = np.concatenate([part.class_id for part in parts])
    score = np.concatenate([part.score for part in parts])
    kept = deduplicate(xyz, score, settings.t_dist)
    return Picked(
        tomogram=tomogram.name,
        xyz=xyz[kept],
        class_id=class_id[kept],
        score=score[kept],
        scores=_score(xyz[kept], class_id[kept], card, config, tomogram),
    )


def _score(
    xyz: npt.NDArray[np.float32],
    class_id: npt.NDArray[np.integer],
    card: ModelCard,
    config: TrainConfig,
    tomogram: AnnotatedTomogram,
) -> Validation | None:
    # Labels count all configured classes, picks the reported ones alone.
    true_xyz, true_class = reported(config, tomogram)
    if not len(true_xyz):
        return None
    diameters = [one.diameter / config.voxel_size for one in card.classes]
    result = evaluate(xyz, class_id, true_xyz, true_class, diameters)
    found = result.localisation
    return Validation(
        precision=found.precision,
        recall=found.recall,
        f1=found.f1,
        f1_alpha=f1_alpha(found.precision, found.recall),
        mean_distance=result.mean_distance,
        class_f1=result.mean_class_f1,
        partial=not tomogram.fully_annotated,
    )
