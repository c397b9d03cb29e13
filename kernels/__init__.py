"""Array in, array out: moments, label assembly, MP-NMS, deduplication, in twins."""

from dep.kernels.assembly import assemble
from dep.kernels.backends import BackendError
from dep.kernels.candidates import Candidates, DeviceSearch, halo, mp_nms
from dep.kernels.cores import available_threads
from dep.kernels.duplicates import deduplicate
from dep.kernels.moments import Moments, moments

__all__ = [
    "BackendError",
    "Candidates",
    "DeviceSearch",
    "Moments",
    "assemble",
    "available_threads",
    "deduplicate",
    "halo",
    "moments",
    "mp_nms",
]
