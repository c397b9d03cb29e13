"""What Lightning's Trainer runs: batches in, a loss out."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from pytorch_lightning import LightningModule
from torch import Tensor

from dep.train.augment import Augmentation, augment
from dep.train.config import TrainConfig
from dep.train.loss import LossWeights, picking_loss
from dep.train.ranks import Ranks
from dep.train.state import TrainingState

Crop = tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]
Batch = tuple[int, Tensor, Tensor]
# Threads that cut, and batches that are cut while the present one is used. A step on a
# processor takes many times as long as cutting its batch; on a GPU it does not.
CUTTERS = {"cpu": 1, "cuda": 4}
AHEAD = {"cpu": 2, "cuda": 8}


def augmentation(config: TrainConfig) -> Augmentation:
    """Return what a configuration asks to be drawn for each patch."""
    drawn = {field.name for field in fields(Augmentation)}
    return Augmentation(**config.augmentation.model_dump(include=drawn))


def generator(seed: int, step: int, rank: int) -> torch.Generator:
    """Return the source of the random numbers of one step on one rank."""
    words = np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(words[0]))


class Batches:
    """(step, image, labels) for the steps of a run, cut ahead in threads.

    Parameters
    ----------
    cut
        From a step to its image (b, 1, e, e, e) float32 and labels (b, e, e, e) uint8.
    first, end
        The steps first..end - 1.
    device : {"cpu", "cuda"}
        What they are for. Those for a GPU are put in page-locked memory, from which it
        takes them unawaited.
    """

    def __init__(
        self, cut: Callable[[int], Crop], first: int, end: int, device: str
    ) -> None:
        self._cut = cut
        self._first, self._end = first, end
        self._device = device

    def __len__(self) -> int:
        return self._end - self._first

    def __iter__(self) -> Iterator[Batch]:
        ahead = AHEAD[self._device]
        with ThreadPoolExecutor(CUTTERS[self._device], "dep-cut") as pool:
            waiting = [
                pool.submit(self._batch, step)
                for step in range(self._first, min(self._first + ahead, self._end))
            ]
            for step in range(self._first, self._end):
                batch = waiting.pop(0).result()
                if step + ahead < self._end:
                    waiting.append(pool.submit(self._batch, step + ahead))
                yield batch

    def _batch(self, step: int) -> Batch:
        image, labels = (torch.from_numpy(part) for part in self._cut(step))
        if self._device == "cuda":
            image, labels = image.pin_memory(), labels.pin_memory()
        return step, image, labels


class Learner(LightningModule):
    """The network, its optimiser and its loss, as Lightning wants to be told them.

    Parameters
    ----------
    run
        Whose network and optimiser.
    ranks
        Which process this is, of how many.
    """

    def __init__(self, run: TrainingState, ranks: Ranks) -> None:
        super().__init__()
        config = run.config
        self.network = run.network
        self.run = run
        self.ranks = ranks
        self.spread = augmentation(config)
        terms = {field.name for field in fields(LossWeights)}
        self.weights = LossWeights(**config.loss.model_dump(include=terms))
        self._statistics = [
            value for value in run.network.buffers() if value.is_floating_point()
        ]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the run's optimiser; its rate is set from step to step."""
        return self.run.optimizer

    def on_after_batch_transfer(
        self,
        batch: Batch,
        dataloader_idx: int,  # noqa: ARG002 - Lightning's signature
    ) -> Batch:
        """Augment on the device, outside mixed precision."""
        t = self.run.config.training
        step, image, labels = batch
        draws = generator(t.seed, step, self.ranks.rank)
        return step, *augment(image, labels, t.patch, self.spread, draws)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002
        """Return the loss of a batch; only the network runs in mixed precision."""
        _, image, labels = batch
        logits = self.network(image.to(memory_format=torch.channels_last_3d))
        with torch.autocast(self.run.device.type, enabled=False):
            return picking_loss(logits, labels, self.weights)

    @torch.no_grad()
    def share(self, flag: bool) -> bool:
        """Average batch norm's running statistics over the ranks.

        Gradients are averaged by Lightning; with these, all ranks hold the same
        network after each step.

        Parameters
        ----------
        flag
            Anything to agree on.

        Returns
        -------
        bool
            Whether any rank's flag was up.
        """
        if self.ranks.world == 1:
            return flag
        parts = [value.flatten() for value in self._statistics]
        flags = torch.tensor([float(flag)], device=self.run.device)
        flat = torch.cat((*parts, flags))
        dist.all_reduce(flat)
        total = float(flat[-1])
        flat /= self.ranks.world
        for value, mean in zip(
            self._statistics,
            torch.split(flat[:-1], [p.numel() for p in parts]),
            strict=True,
        ):
            value.copy_(mean.view_as(value))
        return total > 0
