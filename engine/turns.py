"""Let tomograms through a network one after the other, as long as it is open."""

import threading
from time import perf_counter
from typing import Self

from dep.engine.card import ModelCard
from dep.engine.choices import Check, KernelBackend, Progress
from dep.engine.compute import compute
from dep.engine.errors import DepError
from dep.engine.interruption import held
from dep.engine.job import Prepared, Request, conclude, prepare
from dep.engine.picks import ModelIdentity, Picks
from dep.engine.pipeline import Streamed
from dep.engine.runtime import Runtime
from dep.engine.tile_planner import Tiling


class Turns:
    """A network that tomograms take turns at; a context manager.

    What comes before the network and after it may go on beside it, in other threads.

    Parameters
    ----------
    card, model
        Of the model.
    runtime : Runtime
        What computes; closed by `close`.
    tiling : Tiling
        How tomograms are cut into tiles.
    kernels : {"auto", "reference", "c", "cuda"}
        What assembles, pools and deduplicates.
    """

    def __init__(
        self,
        card: ModelCard,
        model: ModelIdentity,
        runtime: Runtime,
        tiling: Tiling,
        kernels: KernelBackend,
    ) -> None:
        self.card = card
        self.model = model
        self.runtime: Runtime = runtime
        self.tiling = tiling
        self._kernels: KernelBackend = kernels
        self._busy = threading.Lock()
        self._closed = False

    def _prepare(
        self, request: Request, progress: Progress | None, check: Check
    ) -> Prepared:
        try:
            return prepare(request, self.tiling, progress, check, self._kernels)
        except MemoryError as error:
            raise request.out_of_memory(error) from error

    def _finish(
        self, prepared: Prepared, progress: Progress | None, check: Check
    ) -> Picks:
        """Stream an open tomogram, close it, and make picks of what was found."""
        started = perf_counter() - prepared.opening - prepared.measuring
        try:
            with prepared:
                streamed = prepared.inside(self._stream(prepared, progress, check))
            if progress is not None:
                tiles = len(prepared.plan)
                progress(tiles, tiles, "deduplicate")
            return conclude(
                prepared,
                streamed,
                card=self.card,
                model=self.model,
                runtime=self.runtime,
                kernels=self._kernels,
                started=started,
            )
        except MemoryError as error:
            raise prepared.request.out_of_memory(error) from error

    def _stream(
        self, prepared: Prepared, progress: Progress | None, check: Check
    ) -> Streamed:
        """Stream with the network to ourselves, as long as the picker is open."""

        def check_both() -> None:
            if self._closed:
                message = f"{prepared.source.label}: the picker is closed"
                raise DepError(message)
            check()

        with held(self._busy, check_both):
            check_both()
            return compute(
                prepared,
                self.runtime,
                background=self.card.activation == "softmax",
                kernels=self._kernels,
                progress=progress,
                check=check_both,
            )

    def close(self) -> None:
        """Release the model; a second call does nothing.

        A tomogram in work is given up: its pick ends with a `DepError`, within a layer
        of the network.
        """
        self._closed = True  # before it waits: whoever works looks at it
        with self._busy:
            self.runtime.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()
