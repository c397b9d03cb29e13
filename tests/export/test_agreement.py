"""Networks that agree are told from those that do not: by scores, and by picks."""

import dataclasses
import json

import numpy as np
import pytest

from dep.engine.card import ModelCard
from dep.engine.model_file import read_card
from dep.export.agreement import compare_runtimes
from dep.export.check import plan_check
from dep.export.errors import ExportError


@pytest.fixture(scope="module")
def card(tiny_model):
    return read_card(tiny_model)


class Balls:
    """A runtime that sees balls where it is told, whatever it is shown."""

    def __init__(self, card, *, shift=0.0, faint=0.0, kind=np.float32):
        edge = card.tile
        z, y, x = np.indices((edge,) * 3)
        self.scores = np.zeros((1, 3, edge, edge, edge), kind)
        for k, cx in enumerate((6, 12, 18)):
            inside = (x - cx - shift) ** 2 + (y - 12) ** 2 + (z - cx) ** 2 < 9
            self.scores[0, 1 + k % 2][inside] = 0.9 - faint
        self.scores[0, 0] = 1 - self.scores[0].sum(0)
        self.closed = False

    def infer(self, tiles):
        assert tiles.shape[0] == 1
        return self.scores

    def close(self):
        self.closed = True


def test_every_two_are_compared(card):
    three = {
        "torch": (Balls(card), 0.0),
        "ONNX": (Balls(card, faint=0.01), 0.02),
        "plan": (Balls(card, faint=0.02, kind=np.float16), 0.03),
    }
    found = compare_runtimes(three, card, None)
    assert [one.between for one in found] == [
        ("torch", "ONNX"),
        ("torch", "plan"),
        ("ONNX", "plan"),
    ]
    assert [one.tolerance for one in found] == pytest.approx([0.02, 0.03, 0.05])
    assert [one.difference for one in found] == pytest.approx(
        [0.01, 0.02, 0.01], abs=1e-3
    )
    assert all(one.agrees and one.agreement == 1 for one in found)
    assert {one.picks for one in found} == {(9, 9)}
    assert "9 picks by torch, 9 by plan, F1 agreement 1.0000" in str(found[1])


def test_one_that_is_shifted_disagrees_with_both_others(card):
    three = {
        "torch": (Balls(card), 1.0),
        "ONNX": (Balls(card), 1.0),
        "plan": (Balls(card, shift=2), 1.0),
    }
    agrees = {one.between: one.agrees for one in compare_runtimes(three, card, None)}
    assert agrees == {
        ("torch", "ONNX"): True,
        ("torch", "plan"): False,
        ("ONNX", "plan"): False,
    }


def test_scores_decide_too(card):
    two = {"a": (Balls(card), 0.0), "b": (Balls(card, faint=0.1), 0.05)}
    (found,) = compare_runtimes(two, card, None)
    assert found.agreement == 1
    assert not found.agrees
    broken = Balls(card)
    broken.scores[...] = np.nan
    (found,) = compare_runtimes({"a": two["a"], "b": (broken, 1.0)}, card, None)
    assert not found.agrees


def test_what_is_not_picked_is_not_called_agreement(card):
    blank = Balls(card)
    blank.scores[:, 1:] = 0
    blank.scores[:, 0] = 1
    (found,) = compare_runtimes({"a": (blank, 0.0), "b": (blank, 0.1)}, card, None)
    assert "picks could not be compared" in str(found)


@pytest.mark.parametrize(("shift", "agrees"), [(0, True), (2, False)])
def test_a_plan_is_let_in_only_when_it_agrees(
    card, tiny_model, tmp_path, monkeypatch, shift, agrees
):
    """Plan and ONNX file alone, as where there is no torch."""
    plan, model, told = Balls(card, shift=shift), Balls(card), []
    monkeypatch.setattr("dep.export.check.open_runtime", lambda *_, **__: plan)
    monkeypatch.setattr("dep.export.verify.cpu_runtime", lambda *_: model)
    check = plan_check(tiny_model, None, None, told.extend)
    if agrees:
        check(tmp_path / "m.plan", card)
        (found,) = told
        assert found.between == ("the ONNX file", "the plan")
    else:
        with pytest.raises(ExportError, match=r"m\.plan: not written.*0\.0000"):
            check(tmp_path / "m.plan", card)
        assert told == []
    assert plan.closed
    assert model.closed


def test_with_8_bits_the_mean_square_counts_and_more_tiles(card):
    document = {**json.loads(card.to_json()), "precision": "int8"}
    eight = ModelCard.from_json(json.dumps(document))
    assert eight == dataclasses.replace(card, precision="int8")
    two = {"a": (Balls(card), 0.0), "b": (Balls(card, faint=0.1), 0.05)}
    (found,) = compare_runtimes(two, eight, None)
    assert found.difference < 0.05
    assert found.agrees
    assert "root mean square" in str(found)
