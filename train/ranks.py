"""Which process of how many this is, when one training runs on several devices."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from dep.engine.processor import lacks_bf16
from dep.kernels import available_threads
from dep.train.config import TrainConfig
from dep.train.state import TrainingError

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Ranks:
    """One process among those of a training.

    Attributes
    ----------
    rank, world
        Number of this process, and how many there are, on all nodes.
    local, local_world
        The same on this node.
    address, port
        Where the first process listens.
    """

    rank: int = 0
    world: int = 1
    local: int = 0
    local_world: int = 1
    address: str = LOOPBACK
    port: int = 0

    @property
    def first(self) -> bool:
        """Whether this process writes the run's folder and reports."""
        return self.rank == 0


def choose_device(config: TrainConfig) -> str:
    """Return "cuda" or "cpu".

    Raises
    ------
    TrainingError
        If CUDA is asked for and not there, or the precision is not for the device.
    """
    t = config.training
    if t.device == "cuda" and not torch.cuda.is_available():
        msg = (
            "training.device is cuda, and torch finds no CUDA device; install a "
            'driver and a CUDA build of torch, or set device = "cpu"'
        )
        raise TrainingError(msg)
    name = t.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu" and t.precision == "fp16":
        msg = (
            "training.precision fp16 needs a CUDA device, and this training runs on "
            'the CPU: use "bf16" or "fp32"'
        )
        raise TrainingError(msg)
    return name


def precision_notes(config: TrainConfig, device: str) -> list[str]:
    """Say when the precision is emulated, which makes it slow instead of fast."""
    if device != "cpu" or config.training.precision != "bf16" or not lacks_bf16():
        return []
    return [
        "training.precision is bf16, which this processor has no instructions for: "
        'steps take some ten times as long as with "fp32"'
    ]


def count_devices(config: TrainConfig, device: str) -> int:
    """Return how many devices of each node train.

    Raises
    ------
    TrainingError
        If there are fewer than asked for.
    """
    wanted = config.training.devices
    if device == "cpu":
        return 1 if wanted == "auto" else wanted
    there = torch.cuda.device_count()
    if wanted == "auto":
        return there
    if wanted > there:
        msg = f"training.devices is {wanted}, and this machine has {there}"
        raise TrainingError(msg)
    return wanted


def find_ranks(
    devices: int, nodes: int, environment: Mapping[str, str] = os.environ
) -> Ranks | None:
    """Find out which process this is.

    Parameters
    ----------
    devices, nodes
        Of the training.
    environment
        Where torchrun and srun say it.

    Returns
    -------
    Ranks or None
        None: this process is the only one yet, and the others are to be started.

    Raises
    ------
    TrainingError
        If the processes that were started are not `devices` on each of `nodes`.
    """
    world = devices * nodes
    if world == 1:
        return Ranks()
    started = None
    if "TORCHELASTIC_RUN_ID" in environment:
        started = Ranks(
            rank=int(environment["RANK"]),
            world=int(environment["WORLD_SIZE"]),
            local=int(environment["LOCAL_RANK"]),
            local_world=int(environment["LOCAL_WORLD_SIZE"]),
            address=environment["MASTER_ADDR"],
            port=int(environment["MASTER_PORT"]),
        )
    elif "SLURM_STEP_ID" in environment and int(environment["SLURM_NTASKS"]) > 1:
        from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

        hosts = environment.get("SLURM_STEP_NODELIST", LOOPBACK)
        started = Ranks(
            rank=int(environment["SLURM_PROCID"]),
            world=int(environment["SLURM_NTASKS"]),
            local=int(environment["SLURM_LOCALID"]),
            local_world=devices,
            address=SLURMEnvironment.resolve_root_node_address(hosts),
            # Jobs that share a node shall not share a port.
            port=15000 + int(environment["SLURM_JOB_ID"]) % 5000,
        )
    if started is None and nodes == 1:
        return None
    if started is None:
        msg = (
            f"training.nodes is {nodes}, and this process is the only one: start the "
            f"same command {devices} times on each node with srun (--ntasks-per-node="
            f"{devices}) or torchrun (--nnodes={nodes} --nproc-per-node={devices})"
        )
        raise TrainingError(msg)
    if started.world != world or started.local_world != devices:
        msg = (
            f"{started.world} processes were started, {started.local_world} on this "
            f"node; training.nodes = {nodes} and training.devices = {devices} ask for "
            f"{world}, {devices} on each node"
        )
        raise TrainingError(msg)
    return started


def use_threads(config: TrainConfig, ranks: Ranks) -> None:
    """Give this process its part of the node's processors."""
    fair = max(1, available_threads() // ranks.local_world)
    torch.set_num_threads(config.training.threads or fair)
