"""What `dep evaluate` asks of its options before it reads anything."""

import math
from enum import StrEnum
from pathlib import Path

from dep.cli.failure import UsageError, need
from dep.cli.named import number_in


class RuleName(StrEnum):
    """Contests whose rule is a preset."""

    czii = "czii"
    shrec = "shrec"


def shape_of(words: str | None) -> tuple[int, int, int] | None:
    """Read X,Y,Z as a shape (z, y, x).

    Raises
    ------
    UsageError
        Not three whole numbers above 0.
    """
    if words is None:
        return None
    numbers = [word.strip() for word in words.split(",")]
    if len(numbers) != 3 or not all(
        one.isascii() and one.isdigit() and int(one) > 0 for one in numbers
    ):
        message = (
            "--shape: expected the tomogram's size in voxels as X,Y,Z (such as "
            f"928,960,300), found {words!r}"
        )
        raise UsageError(message)
    x, y, z = (int(one) for one in numbers)
    return z, y, x


def weights_of(words: list[str]) -> dict[str, float]:
    """Read NAME=NUMBER, the weight of each class named.

    Raises
    ------
    UsageError
        No number of 0 or above, no name, or one name twice.
    """
    weights: dict[str, float] = {}
    for word in words:
        name, _, value = number_in(word)
        if not name.strip() or not 0 <= value < math.inf:
            message = (
                f"--weight: expected NAME=NUMBER, the number 0 or above, found {word!r}"
            )
            raise UsageError(message)
        if name.strip() in weights:
            message = f"--weight: said twice for {name.strip()}"
            raise UsageError(message)
        weights[name.strip()] = value
    return weights


def check_numbers(
    numbers: dict[str, float | None], draws: int | None, seed: int
) -> None:
    """Refuse numbers by option that are not above 0, and draws that make no sense."""
    from dep.engine.evaluation.bootstrap import MOST_REPLICATES

    for option, value in numbers.items():
        if value is not None and not 0 < value < math.inf:
            message = f"{option}: expected a number above 0, found {value}"
            raise UsageError(message)
    if draws is not None and not 2 <= draws <= MOST_REPLICATES:
        message = f"--bootstrap: expected 2 to {MOST_REPLICATES} draws, found {draws}"
        raise UsageError(message)
    if seed < 0:
        message = f"--seed: expected 0 or above, found {seed}"
        raise UsageError(message)


def check_rule(
    rule: RuleName | None, weighted: bool, occupancy: Path | None, classless: bool
) -> None:
    """Refuse options that do not go together with a contest's rule."""
    if classless and rule is RuleName.czii:
        message = "--ignore-classes: CZII's rule counts class by class"
        raise UsageError(message)
    if weighted and rule is not RuleName.czii:
        message = "--weight goes with --rule czii"
        raise UsageError(message)
    if rule is RuleName.shrec and occupancy is None:
        message = (
            "--rule shrec needs --occupancy: the volume whose voxels hold the number "
            "of the particle there"
        )
        raise UsageError(message)
    if occupancy is not None and rule is not RuleName.shrec:
        message = "--occupancy goes with --rule shrec"
        raise UsageError(message)


def check_outputs(
    csv: Path | None, curve: Path | None, plots: Path | None, overwrite: bool
) -> None:
    """Refuse outputs that are there or cannot be made, before anything is read."""
    if plots is not None:
        need(("matplotlib",), "plots", "--plots")
        if plots.exists() and not plots.is_dir():
            message = f"--plots: {plots}: is a file, expected a folder"
            raise UsageError(message)
    targets = [path for path in (csv, curve) if path is not None]
    if len(targets) == 2 and targets[0] == targets[1]:
        message = f"--csv and --curve: both would be written to {csv}"
        raise UsageError(message)
    for path in targets:
        if str(path) == "-":
            message = (
                "--csv and --curve: expected a file, found - (--json is for pipes)"
            )
            raise UsageError(message)
        if path.exists() and not overwrite:
            message = f"{path}: is there already; --overwrite replaces it"
            raise UsageError(message)
