"""Array in, array out: label assembly, MP-NMS and deduplication, in twins."""

from dep.kernels.assembly import assemble
from dep.kernels.backends import BackendError
from dep.kernels.candidates import Candidates, DeviceSearch, halo, mp_nms
from dep.kernels.cores import available_threads
from dep.kernels.duplicates import deduplicate

__all__ = [
    "BackendError",
    "Candidates",
    "DeviceSearch",
    "assemble",
    "available_threads",
    "deduplicate",
    "halo",
    "mp_nms",
]
