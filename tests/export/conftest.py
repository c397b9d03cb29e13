"""The tests of export trace a network once, however many files they make of it."""

import copy
import hashlib
import io

import pytest


@pytest.fixture(scope="session")
def traced():
    """What was traced so far, by network, tile and opset."""
    return {}


@pytest.fixture(autouse=True)
def _trace_once(traced, monkeypatch):
    """Keep what torch's exporter gives: it takes seconds, and most tests are not on it.

    A network is the same where all that it holds is, so every test has the file that it
    would have had.
    """
    torch = pytest.importorskip("torch")
    onnx_file = pytest.importorskip("dep.export.onnx_file")
    trace = onnx_file._trace

    def once(deployed, tile, opset):
        whole = io.BytesIO()
        torch.save(deployed, whole)
        key = (hashlib.sha256(whole.getvalue()).hexdigest(), tile, opset)
        if key not in traced:
            traced[key] = trace(deployed, tile, opset)
        return copy.deepcopy(traced[key])

    monkeypatch.setattr(onnx_file, "_trace", once)
