"""`metrics.csv`: one line per report, whatever happens to the process."""

import csv
import dataclasses
from pathlib import Path

from dep.engine.atomic import atomic_text
from dep.train.validate import Validation


@dataclasses.dataclass(frozen=True)
class Progress:
    """One report of the loop.

    Attributes
    ----------
    step, steps
        Done and in all.
    loss
        Mean since the last report; of the first process where there are more.
    learning_rate
        Of the last step.
    seconds
        Since this run started.
    seconds_per_step
        Mean since the last report, without validation and saving.
    validation
        Of the averaged weights, when it has just been made.
    note
        Something a person should know, at the end; empty otherwise.
    """

    step: int
    steps: int
    loss: float
    learning_rate: float
    seconds: float
    seconds_per_step: float
    validation: Validation | None = None
    note: str = ""


COLUMNS = ("step", "steps", "loss", "learning_rate", "seconds", "seconds_per_step")
SCORES = tuple(field.name for field in dataclasses.fields(Validation))


class MetricsFile:
    """Appends reports; a resumed run drops the lines of steps that it makes again.

    Parameters
    ----------
    path
        Of the file.
    step
        Where the run goes on from.
    """

    def __init__(self, path: Path, step: int) -> None:
        kept = [row for row in read_metrics(path) if int(row["step"]) <= step]
        with atomic_text(path) as file:
            start = csv.writer(file, lineterminator="\n")
            start.writerow([*COLUMNS, *SCORES])
            start.writerows(
                [row.get(n, "") for n in (*COLUMNS, *SCORES)] for row in kept
            )
        self._file = path.open("a", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file, lineterminator="\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def write(self, report: Progress) -> None:
        """Add a line and hand it to the system."""
        values: list[object] = [getattr(report, name) for name in COLUMNS]
        values += [getattr(report.validation, name, None) for name in SCORES]
        self._writer.writerow([_text(value) for value in values])
        self._file.flush()


def read_metrics(path: Path) -> list[dict[str, str]]:
    """Read the whole lines of a `metrics.csv`; none where there is no such file.

    A line that a killed process left unfinished is passed over.
    """
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        text = file.read()
    whole = text[: text.rfind("\n") + 1]
    rows = csv.DictReader(whole.splitlines())
    return [row for row in rows if None not in row.values() and row["step"].isdigit()]


def _text(value: object) -> object:
    if isinstance(value, bool):
        return int(value)
    return f"{value:.6g}" if isinstance(value, float) else value
