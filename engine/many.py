"""Many tomograms through one picker: opened ahead, picked in turn, handed out at once.

While the network works on one tomogram a second thread opens and measures the next,
and whoever takes the results writes those of the one before. So a tomogram costs what
its network calls cost, whatever the disks do.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, Queue

from dep.engine.errors import StoppedError
from dep.engine.job import Prepared, Request
from dep.engine.picks import Picks

PATIENCE = 0.05  # seconds between two looks whether the working thread has ended


@dataclass(frozen=True, slots=True)
class Advance:
    """How far the picking of many tomograms is.

    Attributes
    ----------
    number : int
        Of the tomogram, in the order given, from 0.
    label : str
        Its file, or its name where there is none.
    done, total : int
        Tiles.
    stage : str
        "statistics", "network" or "deduplicate". The statistics of the next tomogram
        are measured while the network is busy, so that they come in between.
    """

    number: int
    label: str
    done: int
    total: int
    stage: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the picking of one of many tomograms ended.

    Attributes
    ----------
    number : int
        In the order given, from 0.
    request : Request
        What was to be picked.
    picks : Picks or None
        None where it failed.
    error : Exception or None
        Why it failed. A `DepError` has a message for people; another is a defect.
    """

    number: int
    request: Request
    picks: Picks | None
    error: Exception | None


class _ReportFailedError(Exception):
    """The caller's own callback raised; that ends everything."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(cause)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class _End:
    """Nothing comes after this."""

    error: BaseException | None


class Line:
    """Picks requests in turn, in a thread of its own.

    Parameters
    ----------
    requests : iterable of Request
        Taken one ahead of the network, never more.
    prepare, finish : callable
        Before and with the network; each told whom to report to. `finish` closes what
        it is given.
    report : callable, optional
        Told of every `Advance`, from the threads that work. What it raises ends the
        line, and surfaces where the results are taken.
    stop : threading.Event
        Ends the line after the batch at hand.
    """

    def __init__(
        self,
        requests: Iterable[Request],
        prepare: Callable[[Request, Callable[[int, int, str], None]], Prepared],
        finish: Callable[[Prepared, Callable[[int, int, str], None]], Picks],
        report: Callable[[Advance], None] | None,
        stop: threading.Event,
    ) -> None:
        self._requests = iter(requests)
        self._prepare = prepare
        self._finish = finish
        self._report = report
        self._stop = stop
        self._abandoned = threading.Event()  # nobody takes results any more
        # One result waits while its taker writes the one before: no more are kept.
        self._results: Queue[Outcome | _End] = Queue(1)

    def results(self) -> Iterator[Outcome]:
        """Give results as they finish, in the order of the requests.

        Raises
        ------
        StoppedError
            `stop` was set before the last one.
        """
        # A daemon: results that are never taken must not keep the interpreter alive.
        thread = threading.Thread(target=self._work, name="dep-many", daemon=True)
        thread.start()
        try:
            while isinstance(result := self._results.get(), Outcome):
                yield result
            if result.error is not None:
                raise result.error
        finally:
            self._abandoned.set()
            while thread.is_alive():
                with suppress(Empty):
                    self._results.get_nowait()
                thread.join(PATIENCE)

    def _work(self) -> None:
        try:
            with ThreadPoolExecutor(1, "dep-open") as ahead:
                self._turns(ahead)
        except _ReportFailedError as failed:
            self._results.put(_End(failed.cause))
        except BaseException as error:  # noqa: BLE001 - raised where results are taken
            self._results.put(_End(error))
        else:
            self._results.put(_End(None))

    def _turns(self, ahead: ThreadPoolExecutor) -> None:
        following = self._begin(0, ahead)
        number = 0
        try:
            while following is not None:
                request, opened = following
                following = None
                try:
                    prepared = opened.result()
                except (_ReportFailedError, StoppedError):
                    raise
                except Exception as error:  # noqa: BLE001 - the next one still counts
                    following = self._begin(number + 1, ahead)
                    outcome = Outcome(number, request, None, error)
                else:
                    # The next is opened while the network has this one.
                    with prepared:
                        following = self._begin(number + 1, ahead)
                        outcome = self._one(number, request, prepared)
                self._check()
                self._results.put(outcome)
                number += 1
        finally:
            if following is not None:
                with suppress(Exception):
                    following[1].result().volume.close()

    def _begin(
        self, number: int, ahead: ThreadPoolExecutor
    ) -> tuple[Request, Future[Prepared]] | None:
        self._check()
        try:
            request = next(self._requests)
        except StopIteration:
            return None
        return request, ahead.submit(
            self._prepare, request, self._reporter(number, request)
        )

    def _one(self, number: int, request: Request, prepared: Prepared) -> Outcome:
        try:
            picks = self._finish(prepared, self._reporter(number, request))
        except (_ReportFailedError, StoppedError):
            raise
        except Exception as error:  # noqa: BLE001 - the next one still counts
            return Outcome(number, request, None, error)
        return Outcome(number, request, picks, None)

    def _reporter(
        self, number: int, request: Request
    ) -> Callable[[int, int, str], None]:
        def tell(done: int, total: int, stage: str) -> None:
            self._check()
            if self._report is None:
                return
            try:
                self._report(Advance(number, request.label, done, total, stage))
            except BaseException as error:
                raise _ReportFailedError(error) from error

        return tell

    def _check(self) -> None:
        if self._stop.is_set() or self._abandoned.is_set():
            message = "picking was stopped before the last tomogram"
            raise StoppedError(message)
