"""How fast this machine multiplies matrices: what a network's speed is held against."""

import json
import os
import subprocess
import sys
from time import perf_counter

EDGE = 2048
LEAST_SECONDS, LEAST_TIMES = 0.4, 3
# What NumPy's libraries read their number of threads from, when they are loaded.
THREADS = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "OMP_NUM_THREADS",
)
_PROGRAM = (
    "import sys; from dep.engine.bench.matmul import fastest;"
    "sys.stdout.write(repr(fastest()))"
)


def matmul_rate(threads: int) -> float | None:
    """Measure NumPy's float32 matrix products on so many threads.

    In a process of its own: a library's threads are set before it is loaded.

    Returns
    -------
    float or None
        Operations a second, a multiply-add being two; None where it cannot be
        measured.
    """
    words = {**os.environ, **dict.fromkeys(THREADS, str(threads))}
    done = subprocess.run(
        [sys.executable, "-P", "-c", _PROGRAM],
        env=words,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return None
    try:
        return float(json.loads(done.stdout))
    except ValueError:
        return None


def fastest() -> float:
    """Multiply matrices several times; return the best rate, in operations a second."""
    import numpy as np

    random = np.random.default_rng(0)
    a, b = (random.random((EDGE, EDGE), np.float32) for _ in range(2))
    out = np.empty_like(a)
    np.matmul(a, b, out=out)  # not counted: threads start, pages are touched
    times: list[float] = []
    while len(times) < LEAST_TIMES or sum(times) < LEAST_SECONDS:
        start = perf_counter()
        np.matmul(a, b, out=out)
        times.append(perf_counter() - start)
    return 2 * float(EDGE) ** 3 / min(times)
