"""What `dep bench` shows: where the time went, what it comes to, and who is faster."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dep.cli.tables import STAGES, plain_table

if TYPE_CHECKING:
    from rich.console import Console

    from dep.engine.bench import Measured, Result
    from dep.engine.bench.compare import Comparison, Ratio

# From this load on it is worth saying that others are at work.
BUSY = 0.5

# A row: what it is called, and what it says of a contender.
Row = tuple[str, "Callable[[Measured], str]"]


def show(console: "Console", result: "Result") -> None:
    """Show all that was measured."""
    _show_what(console, result)
    console.print()
    console.print(_stages(result.measured))
    console.print()
    console.print(_figures(result.measured))
    _show_comparison(console, result)
    notes = _notes(result)
    if notes:
        console.print()
    for note in notes:
        console.print("[yellow]note:[/yellow]", end=" ")
        console.print(note, markup=False, soft_wrap=True)


def _show_what(console: "Console", result: "Result") -> None:
    """Say who picked what, where."""
    first = result.measured[0]
    lines = [(f"model {one.name}", _contender(one)) for one in result.measured]
    if len(lines) == 1:
        lines = [("model", lines[0][1])]
    machine = result.machine
    cores = "1 core" if machine.cores == 1 else f"{machine.cores} cores"
    many = len(first.turns)
    lines += [
        ("tomogram", _tomogram(result)),
        (
            "machine",
            f"{machine.processor}, {cores}; {machine.system}, Python {machine.python}, "
            f"dep {machine.dep}",
        ),
        ("measured", "once" if many == 1 else f"{many} times, medians below"),
    ]
    for name, words in lines:
        console.print(f"[bold]{name:<9}[/bold]", end=" ")
        console.print(words, markup=False, soft_wrap=True)


def _contender(one: "Measured") -> str:
    stats = one.turns[0].stats
    threads = "1 thread" if stats.threads == 1 else f"{stats.threads} threads"
    return (
        f"{one.model.name} ({one.model.file}): {stats.runtime}, {stats.device}, "
        f"{stats.precision}, {threads}, batch {one.batch}"
    )


def _tomogram(result: "Result") -> str:
    picks = result.measured[0].picks
    shape = "" if picks.shape is None else f"{_edges(picks.shape)} voxels"
    if result.subject.made_up:
        return f"made-up noise, {shape}"
    return f"{picks.tomogram}: {shape} of {picks.voxel_size:.4g} Å"


def _edges(shape: tuple[int, int, int]) -> str:
    """Write (z, y, x) as X x Y x Z, as headers have it."""
    return " x ".join(str(edge) for edge in shape[::-1])


def _stages(measured: "Sequence[Measured]") -> object:
    """Show the seconds of each stage, and their share of the whole."""
    names = [f" {one.name}" if len(measured) > 1 else "" for one in measured]
    headings = [part for name in names for part in (f"seconds{name}", "of whole")]
    table = plain_table("stage (they overlap)", *headings)
    for stage, words in STAGES.items():
        cells: list[str] = []
        for one in measured:
            seconds, total = one.figures.seconds[stage], one.figures.seconds["total"]
            cells += (f"{seconds:.3f}", f"{seconds / total:.1%}")
        table.add_row(words, *cells)
    table.add_section()
    totals: list[str] = []
    for one in measured:
        totals += (f"{one.figures.seconds['total']:.3f}", "")
    table.add_row("whole tomogram", *totals)
    return table


def _figures(measured: "Sequence[Measured]") -> object:
    """Show what the rounds come to, one column for each contender."""
    names = [one.name if len(measured) > 1 else "" for one in measured]
    table = plain_table("", *names)
    table.show_header = len(measured) > 1
    for title, rows in GROUPS:
        table.add_row(f"[bold]{title}[/bold]")
        for words, say in rows:
            table.add_row(f"  {words}", *(say(one) for one in measured))
    return table


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f} s"


def _megabytes(value: int | None) -> str:
    return "not known" if value is None else f"{value / 1e6:.0f} MB"


def _giga(value: float | None, unit: str, unknown: str = "not known") -> str:
    return unknown if value is None else f"{value / 1e9:.1f} {unit}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _range(ratio: "Ratio") -> str:
    if ratio.lowest == ratio.highest:
        return f"{ratio.median:.3f}"
    return f"{ratio.median:.3f} ({ratio.lowest:.3f} to {ratio.highest:.3f})"


GROUPS: tuple[tuple[str, tuple[Row, ...]], ...] = (
    (
        "time",
        (
            ("whole tomogram", lambda one: _seconds(one.figures.seconds["total"])),
            ("network calls alone", lambda one: _seconds(one.figures.alone)),
            (
                "whole / network alone",
                lambda one: _range(one.figures.whole_by_alone),
            ),
            ("outside the network", lambda one: _share(one.figures.outside)),
            (
                "speed",
                lambda one: f"{one.figures.voxels_per_second / 1e6:.2f} Mvoxel/s",
            ),
        ),
    ),
    (
        "tiles",
        (
            ("number", lambda one: str(one.tiling.tiles)),
            ("edges, x y z", lambda one: _edges(one.tiling.tile)),
            ("margin", lambda one: str(one.tiling.margin)),
            ("computed / own voxels", lambda one: f"{one.tiling.overhead:.2f}"),
        ),
    ),
    (
        "arithmetic",
        (
            ("all tiles", lambda one: _giga(one.figures.operations, "GFLOP")),
            (
                "network alone",
                lambda one: _giga(one.figures.operations_per_second, "GFLOP/s"),
            ),
            (
                "matrix products, f32",
                lambda one: _giga(one.figures.matmul, "GFLOP/s", "not measured"),
            ),
            (
                "network / matrix products",
                lambda one: _share(one.figures.share_of_matmul),
            ),
        ),
    ),
    (
        "memory",
        (
            ("most while opening", lambda one: _megabytes(one.fresh.memory.opening)),
            ("model open", lambda one: _megabytes(one.fresh.memory.opened)),
            ("most while picking", lambda one: _megabytes(one.fresh.memory.peak)),
            ("above model open", lambda one: _megabytes(one.fresh.memory.above)),
        ),
    ),
    (
        "cold start",
        (
            ("start Python", lambda one: _seconds(one.fresh.cold_start.python)),
            ("import dep", lambda one: _seconds(one.fresh.cold_start.imports)),
            ("load the runtime", lambda one: _seconds(one.fresh.cold_start.load)),
            ("read the card", lambda one: _seconds(one.fresh.cold_start.open)),
            ("compile the network", lambda one: _seconds(one.fresh.cold_start.compile)),
            ("first tile", lambda one: _seconds(one.fresh.cold_start.first)),
            ("until first scores", lambda one: _seconds(one.fresh.cold_start.total)),
            ("(the next tile)", lambda one: _seconds(one.fresh.cold_start.second)),
        ),
    ),
)


def _show_comparison(console: "Console", result: "Result") -> None:
    """Show how long B takes against A, and whether it finds the same."""
    comparison = result.comparison
    if comparison is None:
        return
    console.print()
    table = plain_table("time of B / time of A", "median", "lowest", "highest")
    for words, ratio in (
        ("whole tomogram", comparison.whole),
        ("network in it", comparison.network),
        ("network calls alone", comparison.alone),
    ):
        cells = (ratio.median, ratio.lowest, ratio.highest)
        table.add_row(words, *(f"{value:.3f}" for value in cells))
    console.print(table)
    console.print()
    console.print(_verdict(comparison.whole, len(result.measured[0].turns)))
    words = _agreement(comparison, result.subject.made_up)
    console.print(words, markup=False, soft_wrap=True)


def _verdict(whole: "Ratio", rounds: int) -> str:
    if rounds == 1:
        return "who is faster takes more than one round to say: --rounds 3"
    if whole.lowest <= 1 <= whole.highest:
        return "A and B: neither was faster in every round"
    if whole.median < 1:
        return f"B is {1 / whole.median:.2f} times as fast as A"
    return f"A is {whole.median:.2f} times as fast as B"


def _agreement(comparison: "Comparison", made_up: bool) -> str:
    found = comparison.agreement
    rates = found.rates
    if found.f1 is None:
        hint = "; name a tomogram to compare picks" if made_up else ""
        return f"picks: neither found any{hint}"
    words = (
        f"picks: A {rates.particles}, B {rates.picks}; {rates.hits} pairs within "
        f"{found.reach:g} voxels (F1 {found.f1:.3f})"
    )
    if found.mean_distance is None:
        return words
    return (
        f"{words}, {found.mean_distance:.2f} voxels apart on average, "
        f"{found.same_class} of one class"
    )


def _notes(result: "Result") -> list[str]:
    """Say what makes the figures worth less, or others than they look."""
    notes: list[str] = []
    load = result.machine.load
    if load is not None and load >= BUSY:
        notes.append(
            f"other programs were at work when this began (load {load:.1f} on "
            f"{result.machine.cores} cores): times are longer than they need be"
        )
    if result.subject.made_up:
        notes.append(
            "in noise there is next to nothing to assemble and to find; a tomogram of "
            "yours says more: dep bench TOMOGRAM"
        )
    for one in result.measured:
        if one.fresh.memory.source == "process":
            notes.append(
                f"memory of {one.name}: this system tells the most since the process "
                "began, not while picking"
            )
        if not result.subject.made_up:
            notes += [words for words in one.picks.warnings if words not in notes]
    return notes
