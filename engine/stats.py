"""What picking one tomogram took: seconds by stage, tiles, and what computed it."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class PickStats:
    """Seconds by stage, and how much was computed with what.

    Stages overlap, so that their sum may exceed `total`: reading and normalising the
    next batch, and assembling and pooling the last, run beside the network.

    Attributes
    ----------
    open, statistics, read, network, assemble, mp_nms, deduplicate, total : float
        Seconds. `read` includes normalising and, where asked for, resampling.
    tiles : int
        How many went through the network.
    skipped_tiles : int
        How many did not: outside of the mask, or empty.
    tile : (int, int, int)
        Edges of each, z, y, x.
    margin : int
        Of each tile, what its core keeps from its faces.
    computed_voxels, owned_voxels : int
        Through the network; of the tomogram as the network saw it.
    candidates : int
        Before deduplication.
    runtime, device, precision : str
        What computed the network.
    threads : int
        That it was allowed.
    """

    open: float
    statistics: float
    read: float
    network: float
    assemble: float
    mp_nms: float
    deduplicate: float
    total: float
    tiles: int
    tile: tuple[int, int, int]
    margin: int
    computed_voxels: int
    owned_voxels: int
    candidates: int
    runtime: str
    device: str
    precision: str
    threads: int
    skipped_tiles: int = 0

    def seconds(self) -> dict[str, float]:
        """Give the seconds of each stage, in the order of the pipeline."""
        stages = ("open", "statistics", "read", "network", "assemble", "mp_nms")
        return {
            stage: getattr(self, stage) for stage in (*stages, "deduplicate", "total")
        }

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that JSON can hold."""
        return asdict(self)
