"""What `dep evaluate` shows on a terminal."""

from typing import TYPE_CHECKING

from rich.markup import escape

from dep.cli.tables import plain_table

if TYPE_CHECKING:
    from rich.console import Console

    from dep.engine.evaluation.curve import Curve
    from dep.engine.evaluation.report import Report
    from dep.engine.evaluation.rule import RuleResult
    from dep.engine.evaluation.sources import Gathered
    from dep.engine.metrics import Rates

MOST_TOMOGRAMS = 30  # shown one by one; the CSV has all


def show(report: "Report", gathered: "Gathered", console: "Console") -> None:
    """Show figures, thresholds, the rule's score and what was left out."""
    if len(report.cases.each) > 1:
        _show_tomograms(report, console)
    _show_classes(report, console)
    _show_summary(report, gathered, console)
    if report.rule is not None:
        console.print()
        _show_rule(report.rule, report, console)
    _show_thresholds(report, console)
    _show_notes(report, gathered, console)


def _show_tomograms(report: "Report", console: "Console") -> None:
    by_class = [] if report.cases.classless else ["class F1"]
    table = plain_table(
        *("tomogram", "precision", "recall", "F1", "hits", "picks", "particles"),
        *by_class,
    )
    rows = list(zip(report.cases.each, report.each, strict=True))
    for case, one in rows[:MOST_TOMOGRAMS]:
        table.add_row(
            escape(case.tomogram),
            *_cells(one.localisation),
            *(f"{one.mean_class_f1:.3f}" for _ in by_class),
        )
    console.print(table)
    if len(rows) > MOST_TOMOGRAMS:
        console.print(f"[dim]and {len(rows) - MOST_TOMOGRAMS} more (--csv)[/dim]")
    console.print()


def _show_classes(report: "Report", console: "Console") -> None:
    weighted = [f"F{report.beta:g}"] if report.beta != 1 else []
    table = plain_table(
        *("", "precision", "recall", "F1", *weighted, "AP"),
        *("hits", "picks", "particles"),
    )
    total = report.total

    def row(label: str, rates: "Rates", average_precision: float | None) -> None:
        cells = [f"{rates.precision:.3f}", f"{rates.recall:.3f}", f"{rates.f1:.3f}"]
        if weighted:
            cells.append(f"{rates.f_beta(report.beta):.3f}")
        cells.append("" if average_precision is None else f"{average_precision:.3f}")
        counts = (rates.hits, rates.picks, rates.particles)
        table.add_row(label, *cells, *(str(count) for count in counts))

    row("[bold]localisation[/bold]", total.localisation, report.curve.average_precision)
    for name, rates in _kinds(report):
        curve = report.class_curves[name]
        row(escape(name), rates, curve.average_precision)
    if len(total.classes) > 1:
        row("pooled classes", total.pooled, None)
    console.print(table)
    console.print()
    if report.intervals is not None:
        _show_intervals(report, console)


def _show_intervals(report: "Report", console: "Console") -> None:
    table = plain_table("95 % intervals", "precision", "recall", "F1")
    kinds = [name for name, _ in _kinds(report)]
    keys = {
        "localisation": "localisation",
        **{escape(name): f"per_class.{name}" for name in kinds},
        **({"pooled classes": "pooled"} if len(kinds) > 1 else {}),
        **({"mean of classes": "macro"} if kinds else {}),
    }
    for label, key in keys.items():
        pairs = [
            report.interval(f"figures.{key}.{name}")
            for name in ("precision", "recall", "f1")
        ]
        cells = ["-" if p is None else f"{p[0]:.3f} to {p[1]:.3f}" for p in pairs]
        table.add_row(label, *cells)
    console.print(table)
    console.print()


def _show_summary(report: "Report", gathered: "Gathered", console: "Console") -> None:
    total = report.total
    if total.localisation.hits:
        words = f"mean distance of hits  {total.mean_distance:.2f} voxels"
        size = gathered.voxel_size
        if size is not None:
            words += f" ({total.mean_distance * size:.1f} Å)"
        pair = report.interval("figures.localisation.mean_distance")
        console.print(words + _ends(pair, 2))
    if report.cases.classless:
        console.print("whatever the classes (--ignore-classes)")
        return
    pair = report.interval("figures.macro.f1")
    console.print(f"mean class F1          {total.mean_class_f1:.3f}{_ends(pair)}")
    if len(total.classes) > 1:
        macro = total.macro
        console.print(
            f"  mean precision {macro['precision']:.3f}, recall {macro['recall']:.3f}, "
            f"average precision {report.mean_average_precision:.3f}"
        )


def _kinds(report: "Report") -> "list[tuple[str, Rates]]":
    """Give the classes to show: none where they do not count."""
    if report.cases.classless:
        return []
    return list(zip(report.total.classes, report.total.per_class, strict=True))


def _ends(pair: tuple[float, float] | None, digits: int = 3) -> str:
    if pair is None:
        return ""
    return f"  [dim]{pair[0]:.{digits}f} to {pair[1]:.{digits}f}[/dim]"


def _show_rule(rule: "RuleResult", report: "Report", console: "Console") -> None:
    if rule.name == "czii":
        score = rule.figures["score"]
        pair = report.interval("rule.score")
        console.print(f"[bold]CZII's rule: score {score:.3f}[/bold]{_ends(pair)}")
        table = plain_table(
            *("", "precision", "recall", "F4", "hits", "picks", "particles"), "weight"
        )
        for name, rates in rule.per_class.items():
            shares = (rates.precision, rates.recall, rates.f_beta(rule.beta))
            counts = (rates.hits, rates.picks, rates.particles)
            table.add_row(
                escape(name),
                *(f"{share:.3f}" for share in shares),
                *(str(count) for count in counts),
                f"{rule.weights[name]:g}",
            )
        console.print(table)
        console.print("[dim]within half the radius, of the particle's class[/dim]")
        return
    figures = rule.figures
    pair = report.interval("rule.f1")
    console.print(f"[bold]SHREC's rule: F1 {figures['f1']:.3f}[/bold]{_ends(pair)}")
    distance = figures["mean_distance"]
    console.print(
        f"precision {figures['precision']:.3f}, recall {figures['recall']:.3f}, "
        f"miss rate {figures['miss_rate']:.3f}, average distance "
        + ("-" if distance is None else f"{distance:.2f} voxels")
    )
    console.print(
        f"reported {figures['reported']}, found {figures['hits']}, on nothing "
        f"{figures['false_positives']}, not found {figures['false_negatives']}, "
        f"found more than once {figures['multiple_hits']}, outside the tomogram "
        f"{figures['outside']}, on particles left out {figures['on_left_out']}"
    )
    if report.cases.classless:
        return
    table = plain_table("classification", "precision", "recall", "F1", "particles")
    for name, rates in rule.per_class.items():
        shares = (rates.precision, rates.recall, rates.f1)
        table.add_row(
            escape(name), *(f"{share:.3f}" for share in shares), str(rates.particles)
        )
    console.print(table)


def _show_thresholds(report: "Report", console: "Console") -> None:
    if report.one_score:
        return
    weighted = report.beta != 1
    heads = ["score from", "F1", *([f"F{report.beta:g} at best"] if weighted else [])]
    table = plain_table("best threshold", *heads)

    def row(label: str, curve: "Curve") -> None:
        index = curve.best()
        if index is None:
            return
        cells = [f"{curve.threshold[index]:.4g}", f"{curve.f_beta()[index]:.3f}"]
        if weighted:
            best = curve.best(report.beta)
            assert best is not None  # some pick hits
            value = curve.f_beta(report.beta)[best]
            cells.append(f"{value:.3f} from {curve.threshold[best]:.4g}")
        table.add_row(label, *cells)

    row("localisation", report.curve)
    if len(report.class_curves) > 1:
        for name, curve in report.class_curves.items():
            row(f"{escape(name)}, by itself", curve)
    if table.row_count:
        console.print()
        console.print(table)
    rule = report.rule
    if rule is not None and rule.name == "czii" and rule.best["one_for_all"]:
        one = rule.best["one_for_all"]
        console.print(
            f"CZII's score: {one['score']:.3f} from {one['threshold']:.4g} on, "
            f"{rule.best['score_at_those']:.3f} with the best threshold of each class"
        )
    console.print(
        "[dim]chosen on this truth: on other tomograms it will be a little worse[/dim]"
    )


def _show_notes(report: "Report", gathered: "Gathered", console: "Console") -> None:
    if report.intervals is not None:
        console.print(f"[dim]{report.intervals.words}[/dim]", soft_wrap=True)
    for note in gathered.notes:
        console.print(f"[yellow]note:[/yellow] {escape(note)}", soft_wrap=True)
    if gathered.left_out:
        words = ", ".join(f"{name} ({n})" for name, n in gathered.left_out.items())
        console.print(
            f"left out of the truth, not in the class table: {escape(words)}",
            soft_wrap=True,
        )
    console.print(
        f"[dim]diameters from {escape(gathered.source)}[/dim]", soft_wrap=True
    )


def _cells(rates: "Rates") -> tuple[str, ...]:
    counts = (rates.hits, rates.picks, rates.particles)
    shares = (rates.precision, rates.recall, rates.f1)
    return (*(f"{share:.3f}" for share in shares), *(str(count) for count in counts))
