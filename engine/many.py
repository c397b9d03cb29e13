"""Many tomograms through one picker: opened ahead, picked in turn, handed out at once.

While the network works on one tomogram a second thread opens and measures the next,
and whoever takes the results writes those of the one before. So a tomogram costs what
its network calls cost, whatever the disks do.
"""

import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from queue import Empty, Queue

from dep.engine.choices import Check, Progress
from dep.engine.errors import StoppedError
from dep.engine.interruption import PATIENCE
from dep.engine.job import Prepared, Request
from dep.engine.picks import Picks


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
        "statistics", "network" (also once before the first tile) or "deduplicate". The
        statistics of the next tomogram are measured while the network is busy, so that
        they come in between.
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


@dataclass(frozen=True, slots=True)
class _Opened:
    """A tomogram that the network can begin with."""

    number: int
    request: Request
    prepared: Prepared


class Line:
    """Picks requests in turn, in threads of its own: one opens, one picks.

    Parameters
    ----------
    requests : iterable of Request
        Taken one ahead of the network, never more, by the thread that opens. It may
        wait for the next one as long as it likes: those before are picked meanwhile.
    prepare, finish : callable
        Before and with the network; each is given whom to report to, and a `Check`.
        `finish` closes what it is given.
    report : callable, optional
        Told of every `Advance`, from the threads that work. What it raises ends the
        line, and surfaces where the results are taken.
    stop : threading.Event
        Ends the line within a layer of the network.
    """

    def __init__(
        self,
        requests: Iterable[Request],
        prepare: Callable[[Request, Progress, Check], Prepared],
        finish: Callable[[Prepared, Progress, Check], Picks],
        report: Callable[[Advance], None] | None,
        stop: threading.Event,
    ) -> None:
        self._requests = iter(requests)
        self._prepare = prepare
        self._finish = finish
        self._report = report
        self._stop = stop
        self._abandoned = threading.Event()  # nobody takes results any more
        self._taking = threading.Event()  # the caller's iterable has the word
        self._wanted = threading.Semaphore(1)  # tomograms that may be opened
        self._opened: Queue[_Opened | Outcome | _End] = Queue()
        # One result waits while its taker writes the one before: no more are kept.
        self._results: Queue[Outcome | _End] = Queue(1)

    def results(self) -> Generator[Outcome, None, None]:
        """Give results as they finish, in the order of the requests.

        Raises
        ------
        StoppedError
            `stop` was set before the last one.
        """
        # Daemons: results that are never taken must not keep the interpreter alive.
        opening, picking = (
            threading.Thread(target=work, name=name, daemon=True)
            for work, name in ((self._open_all, "dep-open"), (self._work, "dep-many"))
        )
        try:
            opening.start()
            picking.start()
            while isinstance(result := self._result(), Outcome):
                yield result
            if result.error is not None:
                raise result.error
        finally:
            self._abandoned.set()
            while picking.is_alive():
                with suppress(Empty):  # it may wait for room
                    self._results.get_nowait()
                picking.join(PATIENCE)
            # An iterable that waits cannot be woken. When it comes back, nothing more
            # is opened.
            while opening.is_alive() and not self._taking.is_set():
                opening.join(PATIENCE)
            self._close_rest()

    def _result(self) -> Outcome | _End:
        # In slices: on Windows, Ctrl-C does not end a wait without end.
        while True:
            with suppress(Empty):
                return self._results.get(timeout=PATIENCE)

    def _close_rest(self) -> None:
        while True:
            try:
                one = self._opened.get_nowait()
            except Empty:
                return
            if isinstance(one, _Opened):
                one.prepared.volume.close()

    def _open_all(self) -> None:
        """Take and open one tomogram after the other, as many as are wanted."""
        for number in count():
            while not self._wanted.acquire(timeout=PATIENCE):
                if self._halted():
                    return
            self._taking.set()
            try:
                request = next(self._requests)
            except StopIteration:
                self._opened.put(_End(None))
                return
            except BaseException as error:  # noqa: BLE001 - raised in its turn
                self._opened.put(_End(error))
                return
            finally:
                self._taking.clear()
            if self._halted():
                return
            self._opened.put(self._open(number, request))

    def _open(self, number: int, request: Request) -> _Opened | Outcome | _End:
        try:
            report = self._reporter(number, request)
            return _Opened(number, request, self._prepare(request, report, self._check))
        except (_ReportFailedError, StoppedError) as error:
            return _End(error)
        except Exception as error:  # noqa: BLE001 - the next one still counts
            return Outcome(number, request, None, error)

    def _work(self) -> None:
        try:
            self._turns()
        except _ReportFailedError as failed:
            self._results.put(_End(failed.cause))
        except BaseException as error:  # noqa: BLE001 - raised where results are taken
            self._results.put(_End(error))
        else:
            self._results.put(_End(None))

    def _turns(self) -> None:
        while True:
            one = self._next()
            self._wanted.release()  # the next is opened while the network has this one
            if isinstance(one, _End):
                if one.error is not None:
                    raise one.error
                return
            self._results.put(self._pick(one) if isinstance(one, _Opened) else one)

    def _next(self) -> _Opened | Outcome | _End:
        while True:
            self._check()
            with suppress(Empty):
                return self._opened.get(timeout=PATIENCE)

    def _pick(self, one: _Opened) -> Outcome:
        try:
            report = self._reporter(one.number, one.request)
            picks = self._finish(one.prepared, report, self._check)
        except (_ReportFailedError, StoppedError):
            raise
        except Exception as error:  # noqa: BLE001 - the next one still counts
            return Outcome(one.number, one.request, None, error)
        return Outcome(one.number, one.request, picks, None)

    def _reporter(self, number: int, request: Request) -> Progress:
        def tell(done: int, total: int, stage: str) -> None:
            self._check()
            if self._report is None:
                return
            try:
                self._report(Advance(number, request.label, done, total, stage))
            except BaseException as error:
                raise _ReportFailedError(error) from error

        return tell

    def _halted(self) -> bool:
        return self._stop.is_set() or self._abandoned.is_set()

    def _check(self) -> None:
        if self._halted():
            message = "picking was stopped before the last tomogram"
            raise StoppedError(message)
