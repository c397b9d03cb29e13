"""Scores the picks of an exported model on the development tomograms 9 and 10."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dep.engine import ModelCard, open_volume
from dep.engine.metrics import Evaluation, evaluate
from dep.engine.normalise import Normaliser, measure
from dep.engine.pipeline import stream
from dep.engine.runtime.choose import open_runtime
from dep.engine.runtime.protocol import Runtime
from dep.engine.settings import PickSettings
from dep.engine.tiles import plan_tiles
from dep.engine.truth import Truth, read_truth
from dep.engine.volume import Volume
from dep.kernels import deduplicate

# Searched on the validation tomogram, for every variant alike.
T_SEG = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
T_LM = (0.1, 0.25, 0.4)


class Replay:
    """A runtime that computes each tile once and then repeats what it computed."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._scores: list[NDArray[Any]] = []
        self._next = 0
        self.batch, self.threads = 1, runtime.threads
        self.name, self.device = runtime.name, runtime.device
        self.precision = runtime.precision

    def rewind(self) -> None:
        """Start again with the first tile."""
        self._next = 0

    def infer(self, tiles: NDArray[np.float32]) -> NDArray[Any]:
        """Compute or repeat."""
        if self._next == len(self._scores):
            self._scores.append(np.array(self._runtime.infer(tiles)))
        self._next += 1
        return self._scores[self._next - 1]

    def interrupt(self) -> None:
        """End the call at hand."""
        self._runtime.interrupt()

    def close(self) -> None:
        """Release the network."""
        self._runtime.close()


def score(
    runtime: Runtime,
    card: ModelCard,
    volume: Volume,
    truth: Truth,
    settings: PickSettings,
    margin: int | None = None,
) -> Evaluation:
    """Pick a tomogram, with the card's margin or another, and evaluate the picks."""
    stats = measure(volume)
    found = stream(
        volume,
        Normaliser(stats.mean, 1 / stats.std),
        plan_tiles(volume.shape, card.tile, card.margin if margin is None else margin),
        runtime,
        settings,
        background=card.activation == "softmax",
    ).candidates
    xyz = np.concatenate([part.xyz for part in found])
    class_id = np.concatenate([part.class_id for part in found])
    kept = deduplicate(
        xyz, np.concatenate([part.score for part in found]), settings.t_dist
    )
    return evaluate(
        xyz[kept],
        class_id[kept],
        truth.xyz,
        truth.class_id,
        [one.diameter / volume.voxel_size for one in card.classes],
    )


def figures(result: Evaluation) -> dict[str, float]:
    """Return what the tables show."""
    found = result.localisation
    return {
        "precision": round(found.precision, 4),
        "recall": round(found.recall, 4),
        "f1": round(found.f1, 4),
        "class_f1": round(result.mean_class_f1, 4),
        "distance": round(result.mean_distance, 3),
    }


def with_noise(volume: Volume, seed: int) -> NDArray[np.float32]:
    """Add white noise of the tomogram's own standard deviation: (z, y, x)."""
    noise = np.random.default_rng(seed).normal(0, measure(volume).std, volume.shape)
    return volume.array.astype(np.float32) + noise.astype(np.float32)


def examine(model: Path, data: Path, card: ModelCard) -> dict[str, Any]:
    """Choose thresholds on tomogram 9; score 10, as it is and with noise."""
    chosen = PickSettings.of(card)
    with_thresholds: dict[tuple[float, float], float] = {}
    out: dict[str, Any] = {}
    for number in (9, 10):
        path = data / "tomograms" / f"tomo_{number:04d}.mrc"
        volume = open_volume(path)
        truth = read_truth(
            path.with_suffix(".csv"),
            card.classes,
            shape=volume.shape,
            voxel_size=volume.voxel_size,
        )
        runtime = open_runtime(model, card, precision="f32", threads=1)
        try:
            if number == 9:
                replay = Replay(runtime)
                for t_seg in T_SEG:
                    for t_lm in T_LM:
                        replay.rewind()
                        settings = PickSettings.of(card, t_seg=t_seg, t_lm=t_lm)
                        result = score(replay, card, volume, truth, settings)
                        with_thresholds[t_seg, t_lm] = (
                            result.localisation.f1 + result.mean_class_f1
                        )
                best = max(with_thresholds, key=lambda key: with_thresholds[key])
                chosen = PickSettings.of(card, t_seg=best[0], t_lm=best[1])
                replay.rewind()
                out["t_seg"], out["t_lm"] = best
                out["validation"] = figures(score(replay, card, volume, truth, chosen))
                continue
            clean = score(runtime, card, volume, truth, chosen)
            out["test"] = figures(clean)
            noisy = Volume(with_noise(volume, number), volume.voxel_size, "noisy")
            out["noisy"] = figures(score(runtime, card, noisy, truth, chosen))
        finally:
            runtime.close()
    return out
