"""The `dep` command."""

import typer

app = typer.Typer()
