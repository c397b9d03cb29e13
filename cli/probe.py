"""A tiny network that shows whether a runtime really computes."""

import base64
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np

from dep.engine.card import ClassInfo, ModelCard
from dep.engine.choices import Device, RuntimeName
from dep.engine.errors import DepError
from dep.engine.runtime.choose import open_runtime

EDGE = 8
# ONNX, opset 17: Conv 3x3x3 (1 -> 2 channels; the second sums its neighbourhood, the
# first is 10) and Softmax. A test makes it anew and compares.
MODEL = (
    "eNrj4LQ6x8xly8VRkp+bn16UmMvFlp1alJeaw8WSlJlYLMSWk5+eWVKsxOKcn1emJcrFUpCYUuzAiIAL"
    "GNm51LigyoTYipPzi1KLldiD89NKchMrtLi5WBIrMoslgOqYhFgLivKTUrXeM3IwcTByMIOgAKMT1EKv"
    "G4wMdAUN9vTCWiIcTECPgkPUi4OBQcERZH+UNiLUheS5ZDkYhSS52IVYkxJLkjO4gCEExBwwnKTJBQ1b"
    "bEqZkJU6sXAxCAgCACzjSUI="
)


def model_bytes() -> bytes:
    """Unpack the ONNX file."""
    return zlib.decompress(base64.b64decode(MODEL))


def compute(runtime: RuntimeName, device: Device = "cpu") -> float:
    """Have a runtime find a bright block in a tile, and check its answer.

    Returns
    -------
    float
        Seconds that opening and computing took.

    Raises
    ------
    DepError
        The runtime does not work, or computes something else.
    """
    card = ModelCard(
        name="probe",
        classes=(ClassInfo("block", 30.0),),
        voxel_size=10.0,
        contrast="bright",
        activation="softmax",
        tile=EDGE,
        margin=1,
        tile_fixed=False,
        tile_multiple=1,
        label_kind="cubic",
        label_diameter=3,
        assembly="joint",
        t_seg=0.5,
        t_lm=0.1,
        t_dist=3.0,
        iterations=1,
        trained_on="",
        software="dep",
        weights_digest="0" * 64,
    )
    tile = np.zeros((1, 1, EDGE, EDGE, EDGE), np.float32)
    tile[..., 3:6, 3:6, 3:6] = 1.0
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="dep-") as folder:
        path = Path(folder) / "probe.onnx"
        path.write_bytes(model_bytes())
        network = open_runtime(path, card, runtime=runtime, device=device)
        try:
            scores = np.array(network.infer(tile), np.float32)
        finally:
            network.close()
    # The block's 27 voxels against 10 at its centre, 0 against 10 in the corner.
    found = scores[0, 1, 4, 4, 4], scores[0, 1, 0, 0, 0]
    if not (abs(found[0] - 1) < 1e-3 and abs(found[1]) < 1e-3):
        message = f"computes wrong scores: {found[0]:g} and {found[1]:g}, not 1 and 0"
        raise DepError(message)
    return time.perf_counter() - begun
