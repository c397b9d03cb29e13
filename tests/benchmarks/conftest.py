"""Fixtures: the modules of the check of a GPU."""

import pytest


@pytest.fixture(scope="module")
def gpu(root):
    """Give the modules of `benchmarks/gpu`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root / "benchmarks"))
        import gpu.checkout
        import gpu.command
        import gpu.context
        import gpu.floors
        import gpu.network_files
        import gpu.network_torch
        import gpu.networks
        import gpu.onnxruntime_options
        import gpu.parts
        import gpu.report
        import gpu.schedule
        import gpu.timing
        import gpu.tomogram
        import gpu.training

        yield gpu
