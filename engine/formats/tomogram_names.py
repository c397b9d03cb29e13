"""Give tomograms other names: RELION's, Warp's or a lab's own."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dep.engine.errors import PicksError, UseError

ANY = "*"


@dataclass(frozen=True, slots=True)
class Renaming:
    """Old names to new ones.

    Attributes
    ----------
    exact : mapping of str to str
        Whole names; they go first.
    patterns : tuple of (str, str)
        Each with one ``*`` at most, which stands for the same on both sides; the first
        that fits counts.
    otherwise : mapping of str to str
        Whole names that no rule was given for.
    """

    exact: Mapping[str, str] = field(default_factory=dict)
    patterns: tuple[tuple[str, str], ...] = ()
    otherwise: Mapping[str, str] = field(default_factory=dict)

    def new(self, name: str) -> str:
        """Give the new name of a tomogram; its own, where no rule fits."""
        if name in self.exact:
            return self.exact[name]
        for old, new in self.patterns:
            before, _, after = old.partition(ANY)
            if (
                len(name) >= len(before) + len(after)
                and name.startswith(before)
                and name.endswith(after)
            ):
                middle = name[len(before) : len(name) - len(after)]
                return new.replace(ANY, middle)
        return self.otherwise.get(name, name)


def renaming_of(rules: Iterable[str], table: Path | None = None) -> Renaming:
    """Read rules OLD=NEW, and a CSV file of two columns, old and new name.

    Raises
    ------
    UseError
        A rule that is none.
    PicksError
        A table that cannot be read, or a row of it that is none.
    """
    exact: dict[str, str] = {}
    patterns: list[tuple[str, str]] = []
    if table is not None:
        exact.update(_rows(table))
    for rule in rules:
        old, equals, new = rule.partition("=")
        if not (old and equals and new) or max(old.count(ANY), new.count(ANY)) > 1:
            message = (
                f"--rename: expected OLD=NEW, with one * on either side at most (such "
                f"as 'rec_*=*'), found {rule!r}"
            )
            raise UseError(message)
        if new.count(ANY) > old.count(ANY):
            message = f"--rename: {rule!r} has * in the new name only"
            raise UseError(message)
        if ANY in old:
            patterns.append((old, new))
        else:
            exact[old] = new
    return Renaming(exact, tuple(patterns))


def _rows(table: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.reader(stream, skipinitialspace=True)
            for row in rows:
                if not any(row):
                    continue
                if len(row) != 2 or not all(row):
                    message = (
                        f"{table}: line {rows.line_num}: expected OLD,NEW, found "
                        f"{len(row)} fields"
                    )
                    raise PicksError(message)
                found[row[0].strip()] = row[1].strip()
    except OSError as error:
        message = f"{table}: cannot be read ({error.strerror or error})"
        raise PicksError(message) from error
    except (UnicodeDecodeError, csv.Error) as error:
        message = f"{table}: not CSV in UTF-8 ({error})"
        raise PicksError(message) from error
    return found
