"""The card is found in a model file without opening the model."""

import json
import os
import time

import pytest

from dep.engine import CardError, ModelError
from dep.engine.model_file import onnx_metadata, read_card


def test_the_card_of_an_onnx_file_is_read(tiny_model):
    card = read_card(tiny_model)
    assert card.name == "balls"
    assert card.class_names == ("dark", "bright")


def test_metadata_agrees_with_the_onnx_package(tiny_model):
    import onnx

    props = onnx.load(str(tiny_model)).metadata_props
    assert onnx_metadata(tiny_model) == {one.key: one.value for one in props}


def test_metadata_before_and_after_a_large_graph(tmp_path):
    """A file of 200 MB is answered in no time, wherever the card stands in it."""
    graph = 200 << 20
    entry = b"\x0a\x08dep.card\x12\x02{}"
    path = tmp_path / "large.onnx"
    with path.open("wb") as stream:
        stream.write(b"\x08\x09")  # ir_version = 9
        stream.write(b"\x3a" + _varint(graph))  # field 7, the graph
        stream.seek(graph, os.SEEK_CUR)
        stream.write(b"\x72" + _varint(len(entry)) + entry)  # field 14
    start = time.perf_counter()
    assert onnx_metadata(path) == {"dep.card": "{}"}
    assert time.perf_counter() - start < 0.5


def _varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def test_every_cut_of_a_model_is_refused_or_has_no_card(tiny_model, tmp_path):
    whole = tiny_model.read_bytes()
    path = tmp_path / "cut.onnx"
    for length in range(1, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError, match=r"cut\.onnx: (not an ONNX|no model card)"):
            read_card(path)


@pytest.mark.parametrize(
    "content", [b"\x00\x00", b"not a model at all", b"\xff" * 40, b"\x0f", b"\x72\x7f"]
)
def test_other_bytes_are_no_onnx_file(tmp_path, content):
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="not an ONNX file, or a damaged one"):
        read_card(path)


def test_a_model_without_a_card(make_model, tmp_path):
    import onnx

    model = onnx.load(str(make_model(tmp_path / "m.onnx")))
    del model.metadata_props[:]
    onnx.save(model, str(tmp_path / "m.onnx"))
    with pytest.raises(CardError, match=r"no model card .*dep\.card.*dep export"):
        read_card(tmp_path / "m.onnx")


def test_faults_of_a_card_name_the_file(make_model, tmp_path):
    import onnx

    path = make_model(tmp_path / "m.onnx")
    model = onnx.load(str(path))
    document = json.loads(model.metadata_props[0].value)
    model.metadata_props[0].value = json.dumps({**document, "t_seg": 3, "tile": "x"})
    onnx.save(model, str(path))
    with pytest.raises(CardError, match=r"m\.onnx: 2 wrong fields"):
        read_card(path)


def test_files_that_cannot_be_models(tmp_path):
    with pytest.raises(ModelError, match="no such model file"):
        read_card(tmp_path / "none.onnx")
    with pytest.raises(ModelError, match="is a directory"):
        read_card(tmp_path)
    (tmp_path / "a.ckpt").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"\.onnx or \.plan.*dep export"):
        read_card(tmp_path / "a.ckpt")
    (tmp_path / "a.onnx").write_bytes(b"")
    with pytest.raises(ModelError, match="is empty"):
        read_card(tmp_path / "a.onnx")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_model_without_permission(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(ModelError, match="cannot be read"):
        read_card(path)
