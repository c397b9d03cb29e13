"""What people read on a terminal: tables of picks, times and scores."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rich.console import Console

    from dep.cli.run_log import Entry

# How the stages of `PickStats.seconds` are called for people.
STAGES = {
    "open": "open",
    "statistics": "measure the tomogram",
    "read": "read and normalise tiles",
    "network": "network",
    "assemble": "assemble labels",
    "mp_nms": "find particles (MP-NMS)",
    "deduplicate": "deduplicate",
}


def plain_table(*headings: str, title: str | None = None) -> Any:  # noqa: ANN401 - rich is imported late
    """Make a table without lines; all columns but the first are numbers."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index else "left", no_wrap=True)
    return table


def show_run(
    console: "Console", entries: "Mapping[str, Entry]", skipped: int, verbose: bool
) -> None:
    """Show what a run picked, per class and per tomogram, and its times."""
    from rich.markup import escape

    picked = {n: e for n, e in entries.items() if e["status"] == "picked"}
    if len(entries) > 1:
        table = plain_table("tomogram", "picks", "seconds", "")
        for name, entry in entries.items():
            done = entry["status"] == "picked"
            mark = "" if done else f"[red]{entry['status']}[/red]"
            picks = str(entry["picks"]) if done else "-"
            table.add_row(name, picks, f"{entry.get('seconds', 0):.1f}", mark)
        console.print(table)
        console.print()
    if picked:
        console.print(_classes(list(picked.values())))
        console.print()
        console.print(_times(list(picked.values())))
        console.print(f"[dim]{_computed(picked.values())}[/dim]")
        console.print()
        if verbose:
            _show_details(console, next(iter(picked.values())))
            for words in _tile_plans(picked.values()):
                console.print(words, markup=False, soft_wrap=True)
            console.print()
    for note in _notes(picked.values()):
        console.print(f"[yellow]note:[/yellow] {escape(note)}", soft_wrap=True)
    if skipped and not entries:
        all_of_them = "the tomogram was" if skipped == 1 else f"all {skipped} were"
        console.print(f"nothing to do: {all_of_them} picked before")
        return
    line = f"{len(picked)} of {len(entries)} tomograms picked"
    if skipped:
        line += f", {skipped} skipped (picked before)"
    console.print(line)


def _notes(entries: "Iterable[Entry]") -> list[str]:
    """Say once what was noted of several tomograms, and of how many."""
    told: dict[str, list[str]] = {}
    for entry in entries:
        for warning in entry["warnings"]:
            # The words are the engine's; only the tomogram in front differs.
            words = str(warning).removeprefix(f"{entry['tomogram']}: ")
            told.setdefault(words, []).append(str(warning))
    return [
        whole[0] if len(whole) == 1 else f"{len(whole)} tomograms: {words}"
        for words, whole in told.items()
    ]


def _classes(entries: "list[Entry]") -> Any:  # noqa: ANN401
    table = plain_table("class", "picks")
    for name in entries[0]["classes"]:
        table.add_row(name, str(sum(entry["classes"][name] for entry in entries)))
    table.add_section()
    table.add_row("all", str(sum(entry["picks"] for entry in entries)))
    return table


def _times(entries: "list[Entry]") -> Any:  # noqa: ANN401
    """Sum the seconds of each stage over tomograms."""
    table = plain_table("stage", "seconds")
    stats = [entry["stats"] for entry in entries]
    for stage, words in STAGES.items():
        table.add_row(words, f"{sum(one[stage] for one in stats):.2f}")
    all_seconds = sum(entry["seconds"] for entry in entries)
    picking = sum(one["total"] for one in stats)
    table.add_row("write outputs", f"{all_seconds - picking:.2f}")
    table.add_section()
    table.add_row("total", f"{all_seconds:.2f}")
    return table


def _computed(entries: "Iterable[Entry]") -> str:
    """Say how much was computed with what; all tomograms of a run share the runtime."""
    stats = [entry["stats"] for entry in entries]
    one, tiles = stats[0], sum(each["tiles"] for each in stats)
    skipped = sum(each.get("skipped_tiles", 0) for each in stats)
    more = f" ({skipped} more were skipped)" if skipped else ""
    return (
        f"stages overlap; {tiles} tiles{more} with {one['runtime']} ({one['device']}, "
        f"{one['precision']}, {one['threads']} threads)"
    )


def _tile_plans(entries: "Iterable[Entry]") -> list[str]:
    """Say how tomograms were cut, once for those that were cut alike."""
    alike: dict[str, int] = {}
    for entry in entries:
        one = entry["stats"]
        edges = " x ".join(str(edge) for edge in reversed(one["tile"]))
        all_tiles = one["tiles"] + one.get("skipped_tiles", 0)
        each = one["computed_voxels"] / one["owned_voxels"]
        words = (
            f"tiles: {all_tiles} of {edges} voxels (x, y, z), margin {one['margin']}; "
            f"{each:.2f} voxels computed for each of the tomogram's"
        )
        alike[words] = alike.get(words, 0) + 1
    if len(alike) == 1:
        return list(alike)
    return [
        f"{words} ({many} tomogram{'' if many == 1 else 's'})"
        for words, many in alike.items()
    ]


def _show_details(console: "Console", entry: "Entry") -> None:
    for key, value in entry.get("model", {}).items():
        console.print(f"model {key}: {value}", markup=False)
    for key, value in entry.get("settings", {}).items():
        console.print(f"{key}: {value}", markup=False)
    console.print()
