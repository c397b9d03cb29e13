"""A model card says all that is wrong with it at once, and survives its own JSON."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dep.engine import CardError, ClassInfo, ModelCard


def fields(**changes: Any) -> dict[str, Any]:
    return {
        "name": "model",
        "classes": (ClassInfo("a", 70.0), ClassInfo("b c", 110.5)),
        "voxel_size": 10.0,
        "contrast": "dark",
        "activation": "softmax",
        "tile": 96,
        "margin": 12,
        "tile_fixed": False,
        "tile_multiple": 16,
        "label_kind": "tball",
        "label_diameter": 7,
        "assembly": "per_class",
        "t_seg": 0.5,
        "t_lm": 0.1,
        "t_dist": 4.0,
        "iterations": (3, 5),
        "trained_on": "ten tomograms",
        "software": "dep 0.1.0",
        "weights_digest": "0123456789abcdef" * 4,
        **changes,
    }


def document(**changes: Any) -> dict[str, Any]:
    return {**ModelCard(**fields()).to_dict(), **changes}


def test_a_card_survives_its_json():
    card = ModelCard(**fields())
    assert ModelCard.from_json(card.to_json()) == card


@given(
    names=st.lists(
        st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1),
        min_size=1,
        max_size=5,
        unique=True,
    ),
    diameter=st.floats(0.1, 1e4),
    t_seg=st.floats(0.01, 0.99),
    n=st.integers(1, 13),
)
def test_every_valid_card_survives_its_json(names, diameter, t_seg, n):
    card = ModelCard(
        **fields(
            classes=tuple(ClassInfo(name, diameter) for name in names),
            t_seg=t_seg,
            iterations=n,
        )
    )
    assert ModelCard.from_json(card.to_json()) == card


def test_defaults_are_those_of_the_method():
    card = ModelCard(**fields())
    assert (card.card_version, card.normalisation, card.pooling_kernel) == (
        1,
        "zscore",
        3,
    )
    assert card.class_names == ("a", "b c")
    assert card.channels == 3
    assert ModelCard(**fields(activation="sigmoid")).channels == 2


def test_lists_become_tuples_so_that_a_card_can_be_a_key():
    card = ModelCard(**fields(classes=[ClassInfo("a", 1.0)], iterations=[4]))
    assert card.classes == (ClassInfo("a", 1.0),)
    assert card.iterations == (4,)
    hash(card)


WRONG = [
    ("name", " "),
    ("name", "two\nlines"),
    ("voxel_size", 0),
    ("voxel_size", "10"),
    ("voxel_size", float("nan")),
    ("contrast", "grey"),
    ("normalisation", "minmax"),
    ("activation", "relu"),
    ("tile", 96.0),
    ("tile", True),
    ("margin", -1),
    ("tile_fixed", 1),
    ("tile_multiple", 0),
    ("label_kind", "cube"),
    ("label_diameter", 0),
    ("assembly", "both"),
    ("t_seg", 0),
    ("t_seg", 1),
    ("t_lm", 0),
    ("t_lm", 1.5),
    ("t_dist", -1),
    ("t_dist", 10**400),
    ("voxel_size", 10**400),
    ("tile", 10**400),
    ("classes", [{"name": "a", "diameter": 10**400}]),
    ("t_dist", float("inf")),
    ("pooling_kernel", 5),
    ("iterations", 0),
    ("iterations", 14),
    ("iterations", [3]),
    ("iterations", [3, 14]),
    ("precision", "fp8"),
    ("trained_on", 3),
    ("software", ""),
    ("weights_digest", "abc"),
    ("weights_digest", "A" * 64),
    ("classes", []),
    ("classes", "a"),
    ("classes", [{"name": "a"}]),
    ("classes", [{"name": "a", "diameter": 0}]),
    ("classes", [{"name": " a", "diameter": 5}]),
    ("classes", [{"name": "a", "diameter": 5}, {"name": "a", "diameter": 6}]),
    ("card_version", 0),
    ("card_version", "1"),
]


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_each_wrong_field_is_named(field, value):
    with pytest.raises(CardError) as caught:
        ModelCard.from_json(json.dumps(document(**{field: value})), "m.onnx")
    assert str(caught.value).startswith("m.onnx: ")
    assert any(fault.startswith(field) for fault in caught.value.faults)


def test_everything_wrong_is_listed_at_once():
    wrong = document(contrast="grey", t_seg=2, tile=20, margin=10, colour="red")
    del wrong["name"]
    with pytest.raises(CardError, match="6 wrong fields") as caught:
        ModelCard.from_json(json.dumps(wrong))
    assert caught.value.faults == (
        "name: missing",
        "colour: unknown field",
        "contrast: expected one of dark, bright, found 'grey'",
        "t_seg: expected a number between 0 and 1, found 2",
        "margin: two margins of 10 leave nothing of a tile of 20",
        "tile: 20 is not a multiple of tile_multiple = 16",
    )


def test_the_constructor_validates_too():
    with pytest.raises(CardError, match="t_lm: expected"):
        ModelCard(**fields(t_lm=0))


def test_one_count_per_class_does_not_go_with_joint_assembly():
    with pytest.raises(CardError, match="does not go with joint"):
        ModelCard(**fields(assembly="joint"))


def test_a_newer_card_says_to_upgrade():
    text = json.dumps(document(card_version=2, hologram=True))
    with pytest.raises(
        CardError, match=r"m.onnx: .*version 2.*up to version 1.*Upgrade"
    ):
        ModelCard.from_json(text, "m.onnx")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1]", "null", "[" * 99999, '{"tile": 1' + "0" * 9999 + "}"],
    ids=range(6),
)
def test_other_text_is_no_card(text):
    with pytest.raises(CardError, match="JSON"):
        ModelCard.from_json(text)


def test_a_missing_version_is_a_fault():
    wrong = document()
    del wrong["card_version"]
    with pytest.raises(CardError, match="card_version: missing"):
        ModelCard.from_json(json.dumps(wrong))
