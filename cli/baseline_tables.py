"""What people read after `dep baseline`: picks per tomogram and class."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dep.cli.tables import plain_table

if TYPE_CHECKING:
    from rich.console import Console


def show_run(
    console: "Console", entries: Mapping[str, Mapping[str, Any]], skipped: int
) -> None:
    """Show what was picked, per tomogram and class."""
    from rich.markup import escape

    picked = {name: one for name, one in entries.items() if one["status"] == "picked"}
    if entries:
        classes = next(iter(picked.values()))["classes"] if picked else {}
        table = plain_table("tomogram", *map(escape, classes), "picks", "seconds", "")
        for name, one in entries.items():
            done = name in picked
            counts = [str(one["classes"][each]) if done else "-" for each in classes]
            table.add_row(
                escape(name),
                *counts,
                str(one["picks"]) if done else "-",
                f"{one.get('seconds', 0):.1f}",
                "" if done else f"[red]{one['status']}[/red]",
            )
        console.print(table)
        console.print()
    for one in picked.values():
        for warning in one["warnings"]:
            console.print(f"[yellow]note:[/yellow] {escape(warning)}", soft_wrap=True)
    if skipped and not entries:
        console.print("nothing to do: all were picked before")
        return
    line = f"{len(picked)} of {len(entries)} tomograms picked"
    console.print(line + (f", {skipped} skipped (picked before)" if skipped else ""))
