"""Which tomograms a configuration means, and which file holds the centres of each."""

import glob
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dep.engine.readers.names import is_tomogram_name, tomogram_name
from dep.engine.readers.registry import is_there
from dep.train.sections import DataSection, Source, SplitSection

NAME = "{name}"
PARTS = ("train", "validate", "test")


@dataclass(frozen=True)
class Pair:
    """One tomogram and one file with centres of its particles.

    Attributes
    ----------
    tomogram, coordinates
        Files.
    source
        The entry of the configuration.
    alone
        The entry names this tomogram, not a pattern: its centres must be there.
    """

    tomogram: Path
    coordinates: Path
    source: Source
    alone: bool

    @property
    def name(self) -> str:
        """Of the tomogram."""
        return tomogram_name(self.tomogram)


@dataclass
class Listing:
    """What a configuration's `[data]` amounts to.

    Attributes
    ----------
    parts
        By "train", "validate" and "test".
    absent
        The same, of tomograms that are not there.
    lost
        Parts of which not all coordinates are there: which of their tomograms hold a
        class cannot be known.
    faults, warnings
        One line each.
    """

    parts: dict[str, list[Pair]]
    absent: dict[str, list[Pair]] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def list_pairs(data: DataSection) -> Listing:
    """Expand patterns, find the coordinates of every tomogram, and split.

    Nothing is opened. Missing files, patterns that match nothing, and tomograms in two
    parts are faults.
    """
    listing = Listing({part: [] for part in PARTS})
    given = (data.train, data.validate_on, data.test)
    for part, sources in zip(PARTS, given, strict=True):
        for source in sources:
            listing.parts[part] += _expand(source, part, listing)
    if data.split is not None:
        _split(data.split, listing)
    _refuse_overlap(listing)
    for part, pairs in listing.parts.items():
        listing.absent[part] = [pair for pair in pairs if not is_there(pair.tomogram)]
        listing.parts[part] = [pair for pair in pairs if is_there(pair.tomogram)]
    return listing


def is_pattern(path: Path) -> bool:
    """Say whether a path is a pattern rather than the name of a file."""
    return glob.has_magic(str(path)) and not path.is_file()


def anchored(base: Path, path: Path) -> Path:
    """Make a path of a configuration relative to the configuration's folder.

    A folder's own brackets are no pattern.
    """
    whole = base / path
    if path.is_absolute() or not is_pattern(whole) or not glob.has_magic(str(path)):
        return whole
    return Path(glob.escape(str(base))) / path


def _expand(source: Source, part: str, listing: Listing) -> list[Pair]:
    """Give the pairs of one entry, also those of tomograms that are not there."""
    alone = not is_pattern(source.tomogram)
    if alone:
        tomograms = [source.tomogram]
    else:
        pattern = str(source.tomogram)
        names = glob.glob(pattern, recursive=True)  # noqa: PTH207 - absolute patterns
        tomograms = sorted(path for path in map(Path, names) if is_there(path))
        if not tomograms:
            listing.faults.append(f"no file matches {source.tomogram}")
            listing.lost.add(part)
    pairs: list[Pair] = []
    without: list[Path] = []
    for tomogram in tomograms:
        if not is_there(tomogram):
            listing.faults.append(_missing(tomogram))
        coordinates = coordinates_of(source.coordinates, tomogram)
        if coordinates.exists():  # copick and the portal have folders
            pairs.append(Pair(tomogram, coordinates, source, alone))
        else:
            without.append(coordinates)
    if NAME not in str(source.coordinates) and without:
        listing.faults.append(f"no such file {source.coordinates}")
        listing.lost.add(part)
    elif without and (alone or not pairs):
        listing.faults += [f"no such file {path}" for path in without]
        listing.lost.add(part)
    elif without:
        listing.warnings.append(
            f"{len(without)} of {len(tomograms)} tomograms that {source.tomogram} "
            "matches have no coordinates and are left out; not there: "
            f"{some(map(str, without))}"
        )
    return pairs


def _missing(tomogram: Path) -> str:
    if tomogram.is_dir():
        return f"{tomogram} is a folder; name its tomograms: {tomogram / '*.mrc'}"
    return f"no such file {tomogram}"


def coordinates_of(coordinates: Path, tomogram: Path) -> Path:
    """Put a tomogram's name, without its suffix, for `{name}`."""
    return Path(str(coordinates).replace(NAME, tomogram_name(tomogram)))


def _split(split: SplitSection, listing: Listing) -> None:
    """Move parts of the training tomograms to validation and test, by name and seed.

    The draw does not depend on the order of the entries or on where the files lie.
    One tomogram at least is left to train on, and one is validated on where there are
    two or more.
    """
    tomograms = {pair.tomogram.resolve() for pair in listing.parts["train"]}
    ordered = sorted(tomograms, key=lambda path: (path.name, str(path)))
    many = len(ordered)
    validated = _share(split.validate_part, many, many - 1)
    tested = _share(split.test, many, many - 1 - validated)
    for part, share, number in (
        ("validate", split.validate_part, validated),
        ("test", split.test, tested),
    ):
        if share and not number:
            listing.warnings.append(
                f"data.split.{part} = {share:g} of {many} tomograms is none: too few "
                "to split"
            )
    order = np.random.default_rng(split.seed).permutation(many)
    chosen = {
        "validate": {ordered[k] for k in order[:validated]},
        "test": {ordered[k] for k in order[validated : validated + tested]},
    }
    for part, paths in chosen.items():
        moved = [p for p in listing.parts["train"] if p.tomogram.resolve() in paths]
        listing.parts[part] += moved
    left = set(ordered) - chosen["validate"] - chosen["test"]
    listing.parts["train"] = [
        pair for pair in listing.parts["train"] if pair.tomogram.resolve() in left
    ]


def _share(part: float, many: int, most: int) -> int:
    """Round a part of many to a number: 1 or more unless 0, and no more than `most`."""
    return min(max(1, round(part * many)), max(0, most)) if part > 0 else 0


def _refuse_overlap(listing: Listing) -> None:
    verbs = {"train": "trained on", "validate": "validated on", "test": "tested on"}
    where: dict[Path, str] = {}
    told: set[Path] = set()
    for part, pairs in listing.parts.items():
        for pair in pairs:
            path = pair.tomogram.resolve()
            first = where.setdefault(path, part)
            if first != part and path not in told:
                told.add(path)
                listing.faults.append(
                    f"{pair.tomogram} is both {verbs[first]} and {verbs[part]}"
                )


def same_name(name: str) -> str:
    """Reduce what a coordinate file calls a tomogram to its bare name.

    ``tomograms/TS_01.mrc`` and ``TS_01.tomostar`` become ``TS_01``.
    """
    bare = name.replace("\\", "/").rsplit("/", 1)[-1]
    for suffix in (".tomostar", ".mdoc"):
        bare = bare.removesuffix(suffix)
    return tomogram_name(bare) if is_tomogram_name(bare) else bare


def match_names(
    tomograms: Sequence[str], named: Sequence[str]
) -> dict[str, str | list[str] | None]:
    """Find which of a file's names each tomogram has.

    A name is a tomogram's when it is the same without folder and suffix; else, when the
    tomogram's name holds it as a word (``rec_TS_01``, ``TS_01_13.48Apx``), the longest
    such name, unless that is another tomogram's own.

    Parameters
    ----------
    tomograms
        Names of tomograms, each once.
    named
        Names that a coordinate file uses.

    Returns
    -------
    dict
        For each tomogram its name in the file, None where there is none, or the list of
        tomograms that could have the name as well.
    """
    bare = {same_name(name): name for name in named if name}
    taken: dict[str, str | list[str] | None] = {}
    claims: dict[str, list[str]] = {}
    for tomogram in tomograms:
        if tomogram in bare:
            taken[tomogram] = bare[tomogram]
            continue
        words = [
            name for name in bare if name not in tomograms and _holds(tomogram, name)
        ]
        taken[tomogram] = None
        if words:
            claims.setdefault(max(words, key=len), []).append(tomogram)
    for name, claimants in claims.items():
        for tomogram in claimants:
            taken[tomogram] = bare[name] if len(claimants) == 1 else claimants
    return taken


def _holds(tomogram: str, name: str) -> bool:
    """Say whether a name stands in a tomogram's name, bounded by no letter or digit."""
    at = tomogram.find(name)
    while at >= 0:
        end = at + len(name)
        before = at == 0 or not (tomogram[at - 1].isalnum() and name[0].isalnum())
        after = end == len(tomogram) or not (
            tomogram[end].isalnum() and name[-1].isalnum()
        )
        if before and after:
            return True
        at = tomogram.find(name, at + 1)
    return False


def some(names: "Sequence[str] | map[str]", most: int = 5) -> str:
    """Join names for a message, the first few."""
    names = list(names)
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
