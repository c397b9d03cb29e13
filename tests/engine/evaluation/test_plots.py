"""Pictures name what they show, whatever it is called."""

import io

import pytest
from evaluation_cases import case, cases

from dep.engine.evaluation.report import report_on

pytest.importorskip("matplotlib", reason="no matplotlib")
plots = pytest.importorskip("dep.engine.evaluation.plots")

# What matplotlib takes for a label to hide, for mathematics that is none, too long.
NAMES = ("_hidden", r"$\frac$ of $x_{$", "b" * 60)


@pytest.fixture
def report():
    rows = [(k, 10 * k, 5, 5, 0.9 - k / 10) for k in (1, 2, 3)]
    picked = case([*rows, (1, 90, 5, 5, 0.2)], [row[:4] for row in rows])
    return report_on(cases(picked, **dict.fromkeys(NAMES, 6.0)))


def test_every_class_is_in_the_legend_as_it_is_called(report):
    figure = plots.draw_precision_recall(report)
    (axes,) = figure.axes
    told = [text.get_text() for text in axes.get_legend().get_texts()]
    assert told == [
        "1.000  localisation",
        "1.000  _hidden",
        r"1.000  $\frac$ of $x_{$",
        f"1.000  {'b' * 23}…",
    ]
    figure.savefig(io.BytesIO())


def test_the_matrix_names_its_rows_and_columns(report):
    figure = plots.draw_confusion(report)
    axes = figure.axes[0]
    columns = [text.get_text() for text in axes.get_xticklabels()]
    rows = [text.get_text() for text in axes.get_yticklabels()]
    assert columns[:2] == rows[:2] == [*NAMES[:2]]
    assert (columns[-1], rows[-1]) == ("missed", "nothing there")
    figure.savefig(io.BytesIO())


def test_letters_that_the_font_lacks_are_no_complaint(tmp_path):
    rows = [(1, 10, 5, 5, 0.9), (1, 30, 5, 5, 0.8)]
    named = report_on(
        cases(case(rows, [row[:4] for row in rows]), **{"\u65e5\u672c": 6.0})
    )
    assert len(plots.draw_all(named, tmp_path)) == 4  # warnings are errors here
