"""The `dep` command: registers the commands and answers `--version`.

Nothing heavier than typer is imported before a command runs, so that `dep --help`
answers at once; a test watches this.
"""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from dep import __version__
from dep.cli import (
    baseline,
    bench,
    compare,
    convert,
    doctor,
    evaluate,
    export,
    info,
    label,
    pick,
    relion_metrics,
    report,
    simulate,
    train,
)
from dep.cli.wording import spell_out_what_the_terminal_lacks


class _Words(TyperGroup):
    """The words of a call: none is empty."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Refuse empty words; as a path one would be the current folder."""
        for word in args:
            option = word.removesuffix("=")
            if not word or (
                option != word and option.startswith("--") and "=" not in option
            ):
                found = f"an empty {option}" if option else "an empty word"
                ctx.fail(f"found {found}: is a variable of the shell unset?")
        return super().parse_args(ctx, args)


class _Program(typer.Typer):
    """The commands on a terminal of any encoding."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - typer's own
        spell_out_what_the_terminal_lacks()
        return super().__call__(*args, **kwargs)


app = _Program(
    name="dep",
    cls=_Words,
    help="Pick macromolecules out of cryo-electron tomograms.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("pick")(pick.pick)
app.command("report")(report.report)
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("convert")(convert.convert)
app.command("info")(info.info)
app.command("label")(label.label)
app.command("train")(train.train)
app.command("simulate")(simulate.simulate)
app.command("export")(export.export)
app.command("bench")(bench.bench)
app.command("doctor")(doctor.doctor)
app.add_typer(baseline.app, name="baseline")
app.add_typer(relion_metrics.app, name="relion-metrics")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"dep {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Say the version."
        ),
    ] = False,
) -> None:
    """Pick macromolecules out of cryo-electron tomograms."""
