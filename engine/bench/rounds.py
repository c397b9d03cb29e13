"""Measure one contender or two, in turn."""

import statistics
from collections.abc import Callable, Mapping, Sequence

from dep.engine.bench.compare import Comparison, agreement, compare
from dep.engine.bench.contender import Entrant
from dep.engine.bench.figures import Tiling, figures
from dep.engine.bench.fresh import Fresh, measure_fresh
from dep.engine.bench.machine import this_machine
from dep.engine.bench.matmul import matmul_rate
from dep.engine.bench.measure import Turn, network_alone, stats_of
from dep.engine.bench.result import Measured, Result
from dep.engine.bench.subject import Subject
from dep.engine.errors import SettingError
from dep.engine.onnx_cost import multiply_adds
from dep.engine.picks import Picks

NAMES = "AB"

# Called before each step with (what it is, its number from 1, how many there are).
Told = Callable[[str, int, int], None]


def run(
    entrants: Sequence[Entrant],
    subject: Subject,
    rounds: int,
    told: Told = lambda _what, _number, _of: None,
) -> Result:
    """Measure contenders on one tomogram.

    A new process of each tells the cold start and the memory. Then, in this process,
    each picks the tomogram once without counting, and round by round all pick it and
    repeat their network calls alone. All order turns round with every round: A B, B A,
    A B. Matrix products are measured at the start of each round.

    Parameters
    ----------
    entrants : sequence of Entrant
        One or two; they stay open.
    subject : Subject
        What is picked.
    rounds : int
        1 or more.
    told : callable, optional
        See `Told`.

    Raises
    ------
    SettingError
        Fewer rounds, or another number of contenders.
    TomogramError, VoxelSizeError, DeviceError
        Picking failed.
    """
    if rounds < 1 or not 1 <= len(entrants) <= len(NAMES):
        message = (
            f"expected one or two models and one round or more, found {len(entrants)} "
            f"and {rounds}"
        )
        raise SettingError(message)
    machine = this_machine()  # before there is a load of our own
    steps = _Steps(told, len(entrants) * (2 + 2 * rounds) + rounds)
    table = [
        _Row(name, one, subject) for name, one in zip(NAMES, entrants, strict=False)
    ]
    fresh: list[Fresh] = []
    picks: list[Picks] = []
    for row in table:
        steps.begin(f"{row.name}: a new process")
        fresh.append(row.start_afresh())
    for row in table:
        steps.begin(f"{row.name}: warm-up")
        picks.append(row.warm_up())
    rates: dict[int, list[float]] = {}
    for number in range(rounds):
        words = f"round {number + 1} of {rounds}"
        steps.begin(f"{words}: matrix products")
        for threads in {row.picker.runtime.threads for row in table}:
            rate = matmul_rate(threads)
            rates.setdefault(threads, []).extend([] if rate is None else [rate])
        for row in table if number % 2 == 0 else reversed(table):
            row.take_turn(steps, words, alone_first=number % 2 == 1)
    measured = tuple(
        row.measured(new, found, rates)
        for row, new, found in zip(table, fresh, picks, strict=True)
    )
    comparison = _compared(*measured) if len(measured) == 2 else None
    return Result(machine, subject, measured, comparison)


class _Steps:
    """Counts the steps of a run and tells of each before it begins."""

    def __init__(self, told: Told, many: int) -> None:
        self._told = told
        self._many = many
        self._number = 0

    def begin(self, what: str) -> None:
        self._number += 1
        self._told(what, self._number, self._many)


class _Row:
    """One contender with what was measured of it so far."""

    def __init__(self, name: str, entrant: Entrant, subject: Subject) -> None:
        self.name = name
        self.picker = entrant.picker
        self._contender = entrant.contender
        self._subject = subject
        with subject.prepare(self.picker) as prepared:
            self._tiling = Tiling.of(prepared.plan)
            self._voxel_factor = prepared.factor
        self._multiply_adds = multiply_adds(self.picker.path, self._tiling.tile)
        self._turns: list[Turn] = []

    def start_afresh(self) -> Fresh:
        """Measure cold start and memory."""
        library = self.picker.runtime.name.partition(" ")[0]
        return measure_fresh(self._contender, self._subject, library)

    def warm_up(self) -> Picks:
        """Pick once without counting."""
        return self._subject.pick(self.picker)

    def take_turn(self, steps: _Steps, words: str, *, alone_first: bool) -> None:
        """Pick, and repeat the network calls alone, or the other way round."""
        alone = self._alone(steps, words) if alone_first else None
        steps.begin(f"{words}: {self.name}, picking")
        stats = stats_of(self._subject.pick(self.picker))
        if alone is None:
            alone = self._alone(steps, words)
        self._turns.append(Turn(stats, alone))

    def _alone(self, steps: _Steps, words: str) -> float:
        steps.begin(f"{words}: {self.name}, network alone")
        return network_alone(self.picker, self._subject)

    def measured(
        self, fresh: Fresh, picks: Picks, rates: Mapping[int, Sequence[float]]
    ) -> Measured:
        """Put together what was measured; `rates` are those of matrix products."""
        runtime = self.picker.runtime
        rated = rates[runtime.threads] if runtime.device == "cpu" else ()
        matmul = statistics.median(rated) if rated else None
        return Measured(
            name=self.name,
            model=self.picker.model,
            picks=picks,
            batch=runtime.batch,
            voxel_factor=self._voxel_factor,
            tiling=self._tiling,
            turns=tuple(self._turns),
            figures=figures(self._turns, self._tiling, self._multiply_adds, matmul),
            fresh=fresh,
            multiply_adds=self._multiply_adds,
        )


def _compared(first: Measured, second: Measured) -> Comparison:
    """Compare two contenders; picks pair within the first's t_dist."""
    picks = first.picks
    reach = 0.0 if picks.settings is None else picks.settings.t_dist
    # t_dist counts voxels that the network saw; coordinates are the tomogram's own.
    return compare(
        first.turns,
        second.turns,
        agreement(picks, second.picks, reach * first.voxel_factor),
    )
