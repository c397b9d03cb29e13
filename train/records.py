"""Where the reports of a run go: `metrics.csv`, loggers, and whoever listens."""

import math
import time
from collections.abc import Callable

from dep.train.config import TrainConfig
from dep.train.loggers import Loggers
from dep.train.metrics_file import MetricsFile, Progress, read_metrics
from dep.train.run_folder import RunFolder


class Records:
    """The records of one run, of which the first process alone writes.

    Parameters
    ----------
    config
        Of the run.
    folder
        Of the run; there already.
    step
        Where the run goes on from.
    first
        Whether this is the first process.
    progress
        Told of every report and remark.
    notes
        All remarks so far, those of the processes before this one too; new ones are
        added to this very list.

    Attributes
    ----------
    started
        On the clock `time.perf_counter`.

    Raises
    ------
    TrainingError
        If a logger cannot be opened.
    """

    def __init__(
        self,
        config: TrainConfig,
        folder: RunFolder,
        step: int,
        first: bool,
        progress: Callable[[Progress], None] | None,
        notes: list[str],
    ) -> None:
        self.notes = notes
        self._path = folder.metrics
        self._steps = config.training.steps
        self._step = step
        self._progress = progress
        self.started = time.perf_counter()
        self._metrics: MetricsFile | None = None
        self._loggers = Loggers(config, folder.path, step) if first else None

    def write(self, report: Progress) -> None:
        """Record a report; the file is there from the first one on."""
        if self._metrics is None:
            # The line of a step that is reported again is replaced.
            step = min(self._step, report.step - 1)
            self._metrics = MetricsFile(self._path, step)
        self._metrics.write(report)
        self._step = report.step
        if self._progress is not None:
            self._progress(report)
        if self._loggers is not None:
            for note in self._loggers.write(report):
                self.say(note, report.step)

    @property
    def last(self) -> tuple[float, float]:
        """Loss and seconds a step of the last line; NaN where there is none."""
        rows = read_metrics(self._path)
        if not rows:
            return math.nan, math.nan
        return float(rows[-1]["loss"]), float(rows[-1]["seconds_per_step"])

    def say(self, note: str, step: int) -> None:
        """Report a remark and keep it for the summary, once."""
        if note not in self.notes:
            self.notes.append(note)
        if self._progress is not None:
            seconds = time.perf_counter() - self.started
            self._progress(
                Progress(step, self._steps, math.nan, 0.0, seconds, 0.0, None, note)
            )

    def close(self, status: str) -> None:
        """Close all: "success", or "failed"."""
        if self._metrics is not None:
            self._metrics.close()
        if self._loggers is not None:
            for note in self._loggers.close(status):
                self.say(note, self._step)
