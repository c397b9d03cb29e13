"""`dep doctor`: what is installed, what works, and what to install for the rest."""

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dep.cli.failure import FAILED, guarded
from dep.cli.wording import print_json

if TYPE_CHECKING:
    from rich.console import Console

    from dep.cli.health import Health


@guarded
def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="Write one JSON document.")
    ] = False,
) -> None:
    """Say what is installed, which runtimes really work, and what the rest needs.

    Exit status 0 when a tomogram can be picked on this machine, 1 when none can.
    """
    from dep.cli.health import examine

    health = examine()
    if as_json:
        print_json(_document(health))
    else:
        from rich.console import Console

        _show(health, Console(highlight=False))
    if not health.can_pick:
        raise typer.Exit(FAILED)


def _document(health: "Health") -> dict[str, Any]:
    document = dataclasses.asdict(health)
    document["processor"]["bf16"] = health.processor.bf16
    document["can_pick"] = health.can_pick
    return document


def _show(health: "Health", console: "Console") -> None:
    from rich.markup import escape
    from rich.table import Table

    cpu = health.processor
    console.print(
        f"[bold]dep {health.version}[/bold]  {health.python}, {health.system}"
    )
    features = ", ".join(cpu.features) or "no vector extensions known"
    console.print(f"CPU  {cpu.model}: {cpu.threads} of {cpu.cores} cores usable")
    console.print(f"     {features}; bfloat16 {'yes' if cpu.bf16 else 'no'}")
    console.print(f"GPU  {', '.join(health.gpus) or 'none seen'} ({health.gpu_detail})")

    tried = Table("works", "what", "seen", box=None, pad_edge=False)
    for check in (*health.checks, *health.runtimes, *health.gpu_checks):
        mark = "[green]yes[/green]" if check.works else "[yellow]no[/yellow]"
        tried.add_row(mark, check.name, escape(check.detail))
    console.print()
    console.print(tried)

    installed = Table("package", "version", "for", "extra", box=None, pad_edge=False)
    for package in health.packages:
        version = package.version or "[dim]not installed[/dim]"
        extra = f"dep\\[{package.extra}]" if package.extra else "core"
        installed.add_row(package.name, version, package.purpose, extra)
    console.print()
    console.print(installed)

    console.print()
    console.print("[bold]dep pick takes[/bold]")
    for line in health.choices:
        console.print(f"  {line}", markup=False)

    console.print()
    verdict = (
        "[green]This machine can pick tomograms.[/green]"
        if health.can_pick
        else "[red]This machine cannot pick tomograms yet.[/red]"
    )
    console.print(verdict)
    for line in health.advice:
        console.print(f"- {line}", markup=False)
