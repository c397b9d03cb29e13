"""Types of the C core; `dep.kernels` checks arguments before it calls these."""

from typing import Any

from numpy.typing import NDArray

_Array = NDArray[Any]
_Triple = tuple[int, int, int]

def mp_nms(
    labels: _Array,
    probability: _Array | None,
    iterations: bytes,
    thresholds: tuple[int, ...],
    core_start: int,
    core_end: int,
    z_origin: int,
    joint: bool,
    refine: bool,
    threads: int,
    /,
) -> bytes | int: ...
def deduplicate(
    xyz: _Array,
    score: _Array,
    class_id: _Array | None,
    t_dist: float,
    kept: _Array,
    /,
) -> int: ...
def assemble(
    scores: _Array,
    labels: _Array,
    probability: _Array,
    source: _Triple,
    target: _Triple,
    size: _Triple,
    t_seg: float,
    joint: bool,
    background: bool,
    threads: int,
    /,
) -> None: ...
def moments(voxels: _Array, pivot: float, sums: _Array, /) -> tuple[float, float]: ...
