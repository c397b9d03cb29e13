"""One run over many tomograms: when each began and how it ended, told and recorded."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from dep.cli.batch import Job
from dep.cli.failure import debugging, expected, words_of
from dep.cli.progress import Reporter, Silent
from dep.cli.run_log import Entry, RunLog, RunStatus, now

if TYPE_CHECKING:
    from dep.engine import Advance, Picks

log = logging.getLogger(__name__)

# Stages of `Advance` in which a tomogram is being picked, not only opened.
WORK = ("network", "filter")


class Outcome(Protocol):
    """How a tomogram ended: `dep.engine.Outcome`, or a baseline's `Ending`."""

    @property
    def number(self) -> int:
        """In the order given, from 0."""

    @property
    def picks(self) -> "Picks | None":
        """None where it failed."""

    @property
    def error(self) -> Exception | None:
        """Why it failed."""


class Course:
    """What `Picker.pick_many` asks for and tells, as `dep pick` shows and records it.

    While the outputs of one tomogram are written the network has the next, and the one
    after that is opened. A tomogram begins when the network does, or when everything
    before it has ended.

    Parameters
    ----------
    jobs : list of Job
        What to pick.
    check : callable
        Raises what forbids to pick a job.
    record : RunLog
        The folder's `run.json`.
    identity : dict
        The model and settings, kept with every entry.
    writing : context manager
        Entered while files are written.
    revise : callable, optional
        Gives the picks of a job as they are to be written and recorded.
    """

    def __init__(
        self,
        jobs: list[Job],
        check: Callable[[Job], None],
        record: RunLog,
        identity: dict[str, Any],
        writing: contextlib.AbstractContextManager[object],
        revise: "Callable[[Picks, Job], Picks]" = lambda picks, _job: picks,
    ) -> None:
        self._record = record
        self._identity = identity
        self._writing = writing
        self._revise = revise
        self._reporter: Reporter = Silent()
        self._failures = 0
        self._count = len(jobs)
        self._jobs: list[tuple[int, Job]] = []  # numbered from 1 among all jobs
        self._refused: list[tuple[int, Job, Exception]] = []
        for number, job in enumerate(jobs, start=1):
            try:
                check(job)
            except expected() as error:
                self._refused.append((number, job, error))
            else:
                self._jobs.append((number, job))
        # Of those in `self._jobs`, in their order:
        self._taken: list[Entry] = []
        self._begun: list[tuple[float, Entry]] = []  # with the clock's seconds
        # The threads of `pick_many` tell of the network, this one of the outputs.
        self._telling = threading.Lock()

    def tomograms(self) -> Iterator[Any]:
        """Give what is to be picked; the state of each file is noted as it is taken."""
        for index, (_, job) in enumerate(self._jobs):
            self._taken.append(_start(job, self._identity))
            if index == 0:
                self._begin(index)
            yield job.tomogram

    def told(self, advance: "Advance") -> None:
        """Show how far the network is; the next tomogram is only being opened."""
        if advance.stage in WORK:
            self._begin(advance.number)
            with self._telling:
                self._reporter.advance(advance.done, advance.total)

    def run(
        self,
        outcomes: Iterable[Outcome],
        write: Callable[["Picks", Job], None],
        reporter: Reporter,
    ) -> int:
        """Take the outcomes, write the outputs and record how each tomogram ended.

        Parameters
        ----------
        outcomes : iterable of Outcome
            Of `tomograms`, told to `told`.
        write : callable
            Writes the outputs of a job.
        reporter : Reporter
            Told how far things are.

        Returns
        -------
        int
            How many failed.

        Raises
        ------
        KeyboardInterrupt
            The user or the batch system ended the run; the record says so.
        """
        self._reporter = reporter
        jobs = sorted(
            [*self._jobs, *((number, job) for number, job, _ in self._refused)],
            key=lambda one: one[0],
        )
        # Their state is looked at when they begin: of many that takes time.
        identity = self._identity
        waiting = {
            job.name: {"tomogram": str(job.tomogram), **identity, "status": "waiting"}
            for _, job in jobs
        }
        try:
            self._keep(waiting)
            for number, job, error in self._refused:
                self._refuse(number, job, error)
            for outcome in outcomes:
                self._take(outcome, write)
            self._keep({}, "failed" if self._failures else "complete")
        except KeyboardInterrupt:
            self._keep(self._unfinished(), "interrupted")
            raise
        return self._failures

    def _begin(self, index: int) -> None:
        """Begin a tomogram, and those before it that the network never had."""
        with self._telling:
            for one in range(len(self._begun), index + 1):
                number, job = self._jobs[one]
                entry = {**self._taken[one], "started": now()}
                self._begun.append((time.perf_counter(), entry))
                self._reporter.begin(job.name, number, self._count)

    def _take(self, outcome: Outcome, write: Callable[["Picks", Job], None]) -> None:
        self._begin(outcome.number)
        _, job = self._jobs[outcome.number]
        begun, entry = self._begun[outcome.number]
        error, picks, written = outcome.error, outcome.picks, time.perf_counter()
        if picks is not None:
            try:
                picks = self._revise(picks, job)
                with self._writing:
                    write(picks, job)
            except Exception as failure:  # noqa: BLE001 - the others still count
                error = failure
        if error is not None:
            entry |= {"status": "failed", "error": self._failed(job, error)}
            entry |= _end(time.perf_counter() - begun)
        elif picks is not None:
            entry |= _success(job, picks)
            seconds = time.perf_counter() - written
            # Its own work: it waited for the network while others had it.
            seconds += picks.stats.total if picks.stats else written - begun
            with self._telling:
                self._reporter.done(
                    job.name, picks=entry["picks"], seconds=round(seconds, 3)
                )
            entry |= _end(seconds)
        self._keep({job.name: entry})

    def _refuse(self, number: int, job: Job, error: Exception) -> None:
        entry = {**_start(job, self._identity), "started": now()}
        with self._telling:
            self._reporter.begin(job.name, number, self._count)
        entry |= {"status": "failed", "error": self._failed(job, error), **_end(0.0)}
        self._keep({job.name: entry})

    def _failed(self, job: Job, error: Exception) -> str:
        """Tell of a failure; give the words for the record."""
        self._failures += 1
        words = said = words_of(error)
        if not isinstance(error, expected()):
            # A defect: its traceback is shown, and the other tomograms still count.
            log.error(
                "%s: this is a defect of dep, please report it",
                job.tomogram,
                exc_info=error,
            )
            words = f"{type(error).__name__}: {error}"
            said = f"{job.tomogram}: {words}"
        elif debugging():
            log.error("%s", job.tomogram, exc_info=error)
        with self._telling:
            self._reporter.failed(job.name, said)
        return words

    def _unfinished(self) -> dict[str, Entry]:
        """Say of all that has begun that it was interrupted, unless it had ended."""
        instant = time.perf_counter()
        return {
            job.name: {"status": "interrupted", **_end(instant - begun), **entry}
            for (_, job), (begun, entry) in zip(self._jobs, self._begun, strict=False)
        }

    def _keep(self, entries: dict[str, Entry], status: RunStatus = "running") -> None:
        with self._writing:
            self._record.record(entries, status)


def _start(job: Job, identity: dict[str, Any]) -> Entry:
    return {"tomogram": str(job.tomogram), **job.states(), **identity}


def _end(seconds: float) -> Entry:
    return {"seconds": round(seconds, 3), "ended": now()}


def _success(job: Job, picks: "Picks") -> Entry:
    return {
        "status": "picked",
        "picks": len(picks),
        "classes": picks.counts(),
        "size_xyz": None if picks.shape is None else list(picks.shape[::-1]),
        "voxel_size": picks.voxel_size,
        "outputs": {form: path.name for form, path in job.outputs.items()},
        "warnings": list(picks.warnings),
        "stats": picks.stats.to_dict() if picks.stats else None,
    }
