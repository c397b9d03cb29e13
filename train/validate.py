"""Validation on picks made by the deployed post-processing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
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
    """

    precision: float
    recall: float
    f1: float
    f1_alpha: float
    mean_distance: float
    class_f1: float


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
) -> Validation:
    """Pick whole tomograms as `dep pick` would and score the picks.

    Parameters
    ----------
    network
        On `device`, in evaluation mode.
    config
        Of the training; its `[picking]` decides tiles and thresholds.
    tomograms
        At least one.
    device
        Where to compute.
    """
    card = make_card(config)
    runtime = TorchRuntime(
        DeployedNetwork(network, [entry.report for entry in config.classes]),
        device,
        threads=available_threads(),
        bf16=config.training.precision == "bf16",
    )
    scores = [_one(runtime, card, config, tomogram) for tomogram in tomograms]
    columns = np.array(scores).T
    # A tomogram without a hit has no mean distance.
    known = [column[np.isfinite(column)] for column in columns]
    return Validation(*(float(c.mean()) if len(c) else math.nan for c in known))


def _one(
    runtime: TorchRuntime,
    card: ModelCard,
    config: TrainConfig,
    tomogram: AnnotatedTomogram,
) -> tuple[float, float, float, float, float, float]:
    settings = PickSettings.of(card)
    volume = Volume(tomogram.voxels, config.voxel_size, tomogram.name)
    streamed = stream(
        volume,
        Normaliser(tomogram.mean, 1 / tomogram.std),
        plan_tiles(volume.shape, card.tile, card.margin),
        runtime,
        settings,
        background=card.activation == "softmax",
    )
    parts = streamed.candidates
    xyz = np.concatenate([part.xyz for part in parts])
    class_id = np.concatenate([part.class_id for part in parts])
    score = np.concatenate([part.score for part in parts])
    kept = deduplicate(xyz, score, settings.t_dist)

    # Labels count all configured classes, picks the reported ones alone.
    reported = [k + 1 for k, entry in enumerate(config.classes) if entry.report]
    counts = np.isin(tomogram.class_id, reported)
    result = evaluate(
        xyz[kept],
        class_id[kept],
        tomogram.xyz[counts],
        np.searchsorted(reported, tomogram.class_id[counts]) + 1,
        [one.diameter / config.voxel_size for one in card.classes],
    )
    found = result.localisation
    return (
        found.precision,
        found.recall,
        found.f1,
        f1_alpha(found.precision, found.recall),
        result.mean_distance,
        result.mean_class_f1,
    )
