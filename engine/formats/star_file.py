"""STAR files as loops and their columns, whatever program wrote them.

gemmi parses the files. A long loop of plain words (no quotes, comments or text fields)
is nothing but words between blanks: it is read here (`dep.engine.formats.bulk`), five
times as fast, and gemmi is given its first row only.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dep.engine.errors import PicksError
from dep.engine.formats.bulk import BulkRows, bulk_rows
from dep.engine.formats.fields import LARGEST, number, whole

MANY = 2**53  # from there on a float64 does not tell whole numbers apart
LONG = 100_000  # characters of a loop from which on it is split here
_HEAD = re.compile(r"loop_[ \t]*\n((?:[ \t]*_\S[^\n]*\n)+)")
# Where a loop may end; its words are looked through for others, indented ones.
_ENDS = ("\ndata_", "\nloop_", "\nsave_", "\n_", "\n#")
# Comments and blank lines, then what may follow a loop.
_AFTER = re.compile(r"(?:\s|#[^\n]*(?:\n|\Z))*(?:\Z|data_|loop_|save_|_)", re.I)
# What makes a loop more than words between blanks, or ends it in the middle of a line.
_NOT_PLAIN = (
    *('"', "'", "#", ";", "$", "[", "]", " _", "\t_"),
    *("data_", "loop_", "save_", "global_", "stop_"),
    *("DATA_", "LOOP_", "SAVE_", "GLOBAL_", "STOP_"),
)


@dataclass(frozen=True, slots=True)
class Loop:
    """One loop: its block's name, its tags without the underscore, and all values.

    Those of a long one as rows.
    """

    block: str
    tags: list[str]
    values: list[str] | BulkRows

    def __len__(self) -> int:
        many = len(self.values)
        return many if isinstance(self.values, BulkRows) else many // len(self.tags)

    def column(self, tag: str) -> list[str]:
        """Give the words of a column as they stand in the file."""
        at = self.tags.index(tag)
        if isinstance(self.values, BulkRows):
            return self.values.column(at)
        return self.values[at :: len(self.tags)]

    def read(self, tag: str) -> NDArray[np.float64] | None:
        """Give a column of numbers, where it was read at once."""
        if tag in self.tags and isinstance(self.values, BulkRows):
            return self.values.numeric.get(self.tags.index(tag))
        return None


@dataclass(frozen=True, slots=True)
class StarFile:
    """What a STAR file holds.

    Attributes
    ----------
    path : Path
        For messages.
    loops : list of Loop
        In the order of the file, those without rows included.
    pairs : dict of str to str
        Single values by tag, without the underscore; the first of each.
    text : str
        All of it, for comments.
    """

    path: Path
    loops: list[Loop]
    pairs: dict[str, str]
    text: str

    def loop_of(self, tag: str) -> Loop | None:
        """Find the first loop with rows that has a column; else one without rows."""
        having = [loop for loop in self.loops if tag in loop.tags]
        return next((loop for loop in having if len(loop)), next(iter(having), None))

    def has(self, loop: Loop, tag: str) -> bool:
        """Say whether a column is there, in this loop or another of its block."""
        return tag in loop.tags or any(
            other.block == loop.block and tag in other.tags and len(other)
            for other in self.loops
        )

    def words(self, loop: Loop, tag: str) -> list[str]:
        """Give a column as the file has it; empty where there is none.

        Raises
        ------
        PicksError
            Another loop of the block has it, of another length.
        """
        if tag in loop.tags:
            return loop.column(tag)
        for other in self.loops:
            if other.block == loop.block and tag in other.tags and len(other):
                if len(other) != len(loop):
                    message = (
                        f"{self.path}: block {loop.block!r}: {len(other)} rows of "
                        f"{tag}, but {len(loop)} of coordinates; expected them in one "
                        "loop"
                    )
                    raise PicksError(message)
                return other.column(tag)
        return []

    def texts(self, loop: Loop, tag: str) -> list[str]:
        """Give a column without quotes; raise as `words`."""
        return _unquoted(self.words(loop, tag))

    def numbers(self, loop: Loop, tag: str) -> NDArray[np.float64]:
        """Give a column of numbers, which must be there.

        Raises
        ------
        PicksError
            No such column, or a field that is no number.
        """
        read = loop.read(tag)
        if read is not None:
            return read
        words = self.words(loop, tag)
        if len(words) != len(loop):
            message = f"{self.path}: block {loop.block!r} has no column {tag}"
            raise PicksError(message)
        return self._numbers(words, tag)

    def wholes(self, loop: Loop, tag: str) -> list[int]:
        """Give a column of whole numbers; empty where there is none.

        Raises
        ------
        PicksError
            A field that is no whole number.
        """
        read = loop.read(tag)
        if read is not None and (np.abs(read) < MANY).all():
            counted: list[int] = read.astype(np.int64).tolist()
            if counted == read.tolist():
                return counted
        words = self.words(loop, tag)
        # Classes and the like: few different words, each read once.
        meaning: dict[str, int] = {}
        for word in dict.fromkeys(words):
            try:
                meaning[word] = whole(self.path, tag, word)
            except PicksError:
                row = words.index(word) + 1
                whole(self.path, f"row {row}, {tag}", word)
        return [meaning[word] for word in words]

    def _numbers(self, words: list[str], tag: str) -> NDArray[np.float64]:
        try:
            values = np.array(words, dtype=np.float64)
        except ValueError:
            values = np.array([np.nan])
        if (np.abs(values) <= LARGEST).all():
            return values
        return np.array(
            [
                number(self.path, f"row {row}, {tag}", word)
                for row, word in enumerate(words, start=1)
            ],
            np.float64,
        )


def read_star(path: Path, long: int = LONG) -> StarFile:
    """Read a STAR file.

    Raises
    ------
    PicksError
        Not STAR.
    """
    from gemmi import cif

    text = path.read_text(encoding="utf-8-sig")
    short, bodies = _shortened(text, long)
    short, empty = _without_empty_loops(short)
    try:
        document = cif.read_string(short)
    except (ValueError, RuntimeError) as error:  # the latter for a name used twice
        if bodies:  # whatever is wrong, it is better told of the whole file
            return read_star(path, len(text) + 1)
        # gemmi calls what it was given "string", and names lines of it as string:3.
        words = re.sub(r"^string:(\d)", r"line \1", str(error))
        words = words.removeprefix("string: ")
        message = f"{path}: not a STAR file ({words})"
        raise PicksError(message) from error
    loops: list[Loop] = []
    pairs: dict[str, str] = {}
    for block in document:
        for item in block:
            if item.loop is not None:
                tags = [tag.removeprefix("_") for tag in item.loop.tags]
                values = bodies.get(tuple(tags), list(item.loop.values))
                loops.append(Loop(block.name, tags, values))
            elif item.pair is not None:
                tag, value = item.pair
                pairs.setdefault(tag.removeprefix("_"), _unquoted([value])[0])
    if any(sum(tuple(one.tags) == tags for one in loops) != 1 for tags in bodies):
        return read_star(path, len(text) + 1)  # which of them is the long one?
    loops += [Loop("", tags, []) for tags in empty]
    return StarFile(path, loops, pairs, text)


def _shortened(
    text: str, long: int
) -> tuple[str, dict[tuple[str, ...], list[str] | BulkRows]]:
    """Leave the first row of long plain loops; give their words by tags."""
    bodies: dict[tuple[str, ...], list[str] | BulkRows] = {}
    kept: list[str] = []
    done = 0
    at = -1
    while (at := text.find("loop_", at + 1)) >= 0:
        head = _HEAD.match(text, at)
        if head is None or text[text.rfind("\n", 0, at) + 1 : at].strip():
            continue
        start = at = head.end()
        ends = (text.find(one, start - 1) for one in _ENDS)
        end = min((one + 1 for one in ends if one >= 0), default=len(text))
        if (
            end - start < long
            or any(text.find(one, start, end) >= 0 for one in _NOT_PLAIN)
            or not _AFTER.match(text, end)
        ):
            continue
        at = end - 1
        tags = tuple(
            line.split()[0].removeprefix("_") for line in head.group(1).splitlines()
        )
        body = text[start:end]
        first = body.split(None, len(tags))[: len(tags)]
        rows = _rows(body, first, len(tags))
        if rows is None:
            continue
        bodies[tags] = rows
        kept += [text[done:start], " ".join(first), "\n"]
        done = end
    return "".join([*kept, text[done:]]), bodies


def _rows(body: str, first: list[str], width: int) -> list[str] | BulkRows | None:
    """Read rows of plain words; None where the last one is not whole.

    Columns are numbers where the first row has one.
    """
    lines = body.rstrip().split("\n")
    numeric = [column for column, word in enumerate(first) if _is_number(word)]
    rows = bulk_rows(lines, first, numeric) if len(first) == width else None
    if rows is not None:
        return rows
    words = body.split()
    return None if len(words) % width else words


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _unquoted(words: list[str]) -> list[str]:
    from gemmi import cif

    meaning = {word: cif.as_string(word) for word in set(words) if word[:1] in "\"';?."}
    return [meaning.get(word, word) for word in words] if meaning else words


def _without_empty_loops(text: str) -> tuple[str, list[list[str]]]:
    """Drop loops without rows, which gemmi refuses; give the text and their tags."""
    kept: list[str] = []
    dropped: list[list[str]] = []
    loop: list[str] | None = None  # the lines of a loop that has no row so far
    for line in _lines(text):
        word = line.split(maxsplit=1)[0] if line.strip() else ""
        if loop is not None and (word.startswith(("_", "#")) or not word):
            loop.append(line)
            continue
        if loop is not None and word.startswith(("data_", "loop_")):
            tags = [one.split()[0] for one in loop[1:] if one.lstrip().startswith("_")]
            if tags:
                dropped.append([tag.removeprefix("_") for tag in tags])
            kept += [one for one in loop if one.lstrip().startswith("#")]
        elif loop is not None:
            kept += loop
        loop = [line] if word == "loop_" else None
        if loop is None:
            kept.append(line)
    return "\n".join(kept[:-1]) + "\n", dropped


def _lines(text: str) -> Iterator[str]:
    yield from text.split("\n")
    yield "data_end_of_file"
