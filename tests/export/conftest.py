"""The tests of export trace a network once, however many files they make of it."""

import copy
import hashlib
import io
from functools import cache

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


@pytest.fixture(scope="session")
def exported_once(root, tmp_path_factory):
    """Give a function that exports a network of the published format, once each."""
    torch = pytest.importorskip("torch")
    from dep.engine import ClassInfo
    from dep.export import Published, export_onnx
    from dep.train.network import NetworkConfig, ResUNet3D

    folder = tmp_path_factory.mktemp("exported")
    torch.manual_seed(0)
    network = ResUNet3D(NetworkConfig(3, (4, 8), coordinates=False))
    network(torch.randn(4, 1, 16, 16, 16))  # gives the norms statistics
    with torch.no_grad():
        network.final_conv.bias[0] = 9.0  # nothing is picked in noise
    torch.save({"state_dict": network.state_dict()}, folder / "x.ckpt")
    told = Published([ClassInfo("a", 100.0), ClassInfo("b", 120.0)], 10.0)

    @cache
    def export(precision):
        path = folder / f"{precision}.onnx"
        sample = root / "docs/sample/sample.mrc"
        export_onnx(
            folder / "x.ckpt",
            path,
            precision=precision,
            published=told,
            picking={"tile": 16, "margin": 4},
            calibrate_on=[sample] if precision == "int8" else [],
        )
        return path

    return export
