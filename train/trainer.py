"""Lightning's Trainer, set up to do as it is told, without words or folders."""

import contextlib
import logging
import warnings
from collections.abc import Iterator

import torch
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.utilities.warnings import PossibleUserWarning
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy, Strategy

from dep.train.config import TrainConfig
from dep.train.ranks import Ranks

GRADIENT_NORM = 5.0
PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


class _Processes(ClusterEnvironment):
    """Tells Lightning of processes that are started already."""

    def __init__(self, ranks: Ranks) -> None:
        super().__init__()
        self._ranks = ranks

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return self._ranks.address

    @property
    def main_port(self) -> int:
        return self._ranks.port

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self._ranks.world

    def set_world_size(self, size: int) -> None:
        """Known already."""

    def global_rank(self) -> int:
        return self._ranks.rank

    def set_global_rank(self, rank: int) -> None:
        """Known already."""

    def local_rank(self) -> int:
        return self._ranks.local

    def node_rank(self) -> int:
        return self._ranks.rank // self._ranks.local_world


def make_trainer(
    config: TrainConfig, device: torch.device, ranks: Ranks, watch: Callback
) -> Trainer:
    """Return a Trainer for one pass over a run's batches.

    Checkpoints, metrics and progress are the run folder's: Lightning keeps none.
    """
    environment: ClusterEnvironment = LightningEnvironment()
    strategy: Strategy = SingleDeviceStrategy(device)
    if ranks.world > 1:
        environment = _Processes(ranks)
        # Batch norm's statistics are averaged by `Learner.share`.
        strategy = DDPStrategy(
            process_group_backend="nccl" if device.type == "cuda" else "gloo",
            broadcast_buffers=False,
            gradient_as_bucket_view=True,
        )
    return Trainer(
        accelerator=device.type,
        devices=ranks.local_world,
        num_nodes=ranks.world // ranks.local_world,
        strategy=strategy,
        plugins=[environment],
        precision=PRECISIONS[config.training.precision],  # type: ignore[arg-type]
        max_epochs=1,
        gradient_clip_val=GRADIENT_NORM,
        callbacks=[watch],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_autolog_hparams=False,
    )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what Lightning tells its own users from ours."""
    loggers = [logging.getLogger(n) for n in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=PossibleUserWarning)
            warnings.filterwarnings(
                "ignore", module=r"(pytorch_lightning|lightning_fabric)\."
            )
            # Of the 1 x 1 x 1 convolution, whose few numbers may lie as they like.
            warnings.filterwarnings("ignore", message="Grad strides do not match")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
