"""What is exported computes what was trained, and says what it is."""

import numpy as np
import onnx
import pytest
import torch

from dep.engine.model_file import read_card
from dep.engine.runtime.onnxruntime_cpu import OnnxRuntimeCpu
from dep.export import ExportError, export_onnx
from dep.export.verify import compare
from dep.train import ConfigError, load_checkpoint, load_config, train
from dep.train.deployed import DeployedNetwork, fold_batch_norm
from dep.train.network import NetworkConfig, ResUNet3D
from dep.train.runtime import TorchRuntime


def run(path, tiles):
    runtime = OnnxRuntimeCpu(
        path, read_card(path), precision="f32", threads=2, batch=len(tiles)
    )
    try:
        return runtime.infer(tiles)
    finally:
        runtime.close()


def test_the_file_computes_the_networks_scores_for_any_batch_and_tile(
    trained, tmp_path
):
    card, comparison = export_onnx(trained, tmp_path / "m.onnx")
    assert comparison.agrees
    assert comparison.on == "held.mrc"
    network = load_checkpoint(trained).network
    for batch, *tile in ((1, 24, 24, 24), (3, 24, 24, 24), (2, 16, 28, 32)):
        tiles = np.random.default_rng(batch).normal(size=(batch, 1, *tile))
        tiles = tiles.astype(np.float32)
        scores = run(tmp_path / "m.onnx", tiles)
        with torch.no_grad():
            all_scores = torch.softmax(network(torch.from_numpy(tiles)), 1).numpy()
        # The bead is learnt and not reported: it counts as background.
        expected = all_scores[:, [0, 1, 3]]
        expected[:, 0] += all_scores[:, 2]
        np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert card == read_card(tmp_path / "m.onnx")


def test_the_card_says_what_was_configured(trained, tmp_path):
    card, _ = export_onnx(trained, tmp_path / "m.onnx")
    assert card.class_names == ("a", "b")
    assert (card.tile, card.margin, card.tile_multiple) == (24, 4, 4)
    assert not card.tile_fixed
    assert card.iterations == card.label_diameter // 2 == 2
    assert card.activation == "softmax"
    assert card.contrast == "dark"
    assert len(card.weights_digest) == 64


def test_picking_can_be_changed_after_training(trained, tmp_path):
    changes = {"tile": 32, "t_seg": 0.6}
    card, comparison = export_onnx(trained, tmp_path / "m.onnx", picking=changes)
    assert (card.tile, card.t_seg, card.margin) == (32, 0.6, 4)
    assert comparison.agrees
    tiles = np.zeros((1, 1, 32, 32, 32), np.float32)
    assert run(tmp_path / "m.onnx", tiles).shape == (1, 3, 32, 32, 32)
    with pytest.raises(ConfigError, match=r"tile must be a multiple of 4"):
        export_onnx(trained, tmp_path / "n.onnx", picking={"tile": 30})
    with pytest.raises(ConfigError, match=r"picking\.speed"):
        export_onnx(trained, tmp_path / "n.onnx", picking={"speed": 3})


def test_half_weights_take_half_the_place_and_agree(run_files, tmp_path):
    config = load_config(run_files.config)
    network = config.network.model_copy(update={"widths": (16, 32)})
    config = config.model_copy(update={"network": network})
    checkpoint = train(config, tmp_path / "run")
    whole, half = tmp_path / "whole.onnx", tmp_path / "half.onnx"
    a, _ = export_onnx(checkpoint, whole)
    b, comparison = export_onnx(checkpoint, half, half_weights=True)
    assert half.stat().st_size < 0.65 * whole.stat().st_size
    assert comparison.agrees
    assert a.weights_digest != b.weights_digest
    tiles = np.random.default_rng(0).normal(size=(1, 1, 24, 24, 24))
    tiles = tiles.astype(np.float32)
    np.testing.assert_allclose(run(whole, tiles), run(half, tiles), atol=1e-2)


def test_the_file_tells_nothing_of_the_machine_that_made_it(trained, tmp_path):
    export_onnx(trained, tmp_path / "m.onnx")
    content = (tmp_path / "m.onnx").read_bytes()
    for part in (str(tmp_path), ".py", "site-packages"):
        assert part.encode() not in content
    model = onnx.load(tmp_path / "m.onnx")
    assert [entry.key for entry in model.metadata_props] == ["dep.card", "dep.network"]
    assert not [n for n in model.graph.node if n.op_type == "BatchNormalization"]


def test_a_file_that_does_not_agree_is_not_written(trained, tmp_path, monkeypatch):
    def spoil(model):
        for item in model.graph.initializer:
            if item.name.endswith("final_conv.bias"):
                values = onnx.numpy_helper.to_array(item) + np.array([3.0, 0, 0, 0])
                item.CopyFrom(
                    onnx.numpy_helper.from_array(values.astype("f4"), item.name)
                )

    monkeypatch.setattr("dep.export.onnx_file._strip", spoil)
    with pytest.raises(ExportError, match="does not agree"):
        export_onnx(trained, tmp_path / "m.onnx")
    assert [p.name for p in tmp_path.glob("*.onnx")] == []
    assert [p.name for p in tmp_path.glob(".*")] == []


def test_weights_beyond_half_precision_are_refused(trained, tmp_path, monkeypatch):
    content = torch.load(trained, weights_only=True)
    name = "encoders.0.basic_module.conv2.conv.weight"
    content["state_dict"][name][0, 0] = 1e6
    checkpoint = tmp_path / "changed.ckpt"
    torch.save(content, checkpoint)
    monkeypatch.setattr("dep.export.onnx_file.HALF_FROM", 1)
    with pytest.raises(ExportError, match="float16"):
        export_onnx(checkpoint, tmp_path / "m.onnx", half_weights=True)


def test_a_published_checkpoint_says_what_it_lacks(tmp_path):
    path = tmp_path / "x.ckpt"
    torch.save({"state_dict": ResUNet3D(NetworkConfig(2, (4, 8))).state_dict()}, path)
    with pytest.raises(ExportError, match="--voxel-size"):
        export_onnx(path, tmp_path / "m.onnx")


def test_folded_batch_norms_change_nothing():
    torch.manual_seed(0)
    network = ResUNet3D(NetworkConfig(3, (4, 8), coordinates=False, stem_stride=2))
    network(torch.randn(4, 1, 16, 16, 16))  # gives the norms statistics
    network.eval()
    x = torch.randn(1, 1, 16, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(
            fold_batch_norm(network)(x), network(x), atol=1e-5, rtol=1e-4
        )


def test_one_class_is_a_sigmoid():
    network = ResUNet3D(NetworkConfig(1, (4, 8), coordinates=False)).eval()
    x = torch.randn(1, 1, 8, 8, 8)
    with torch.no_grad():
        scores = DeployedNetwork(network, [True])(x)
        torch.testing.assert_close(scores, torch.sigmoid(network(x)))


def test_classes_must_be_described():
    network = ResUNet3D(NetworkConfig(4, (4, 8)))
    with pytest.raises(ValueError, match="3 classes, 2 are described"):
        DeployedNetwork(network, [True, True])
    with pytest.raises(ValueError, match="no class"):
        DeployedNetwork(network, [False, False, False])


def scores_with_balls(places, classes):
    """Scores (1, 3, 24, 24, 24) of balls of a class each, as a network might give."""
    z, y, x = np.indices((24, 24, 24))
    scores = np.zeros((1, 3, 24, 24, 24), np.float32)
    for (cx, cy, cz), label in zip(places, classes, strict=True):
        ball = (x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2 < 9
        scores[0, label][ball] = 0.9
    scores[0, 0] = 1 - scores[0].sum(0)
    return scores


@pytest.mark.parametrize(
    ("places", "classes", "agreement"),
    [
        ([(6, 6, 6), (17, 6, 6)], [1, 2], 1.0),
        ([(6, 6, 6), (17, 6, 6)], [1, 1], 0.5),  # another class
        ([(6, 6, 6), (17, 9, 6)], [1, 2], 0.5),  # another place
        ([(6, 6, 6)], [1], 2 / 3),  # one lost
        ([], [], 0.0),
    ],
)
def test_picks_that_differ_are_seen_even_where_scores_may(
    trained, tmp_path, monkeypatch, places, classes, agreement
):
    card, _ = export_onnx(trained, tmp_path / "m.onnx")
    truth = scores_with_balls([(6, 6, 6), (17, 6, 6)], [1, 2])
    found = scores_with_balls(places, classes)
    monkeypatch.setattr(TorchRuntime, "infer", lambda *_: truth)
    monkeypatch.setattr(OnnxRuntimeCpu, "infer", lambda *_: found)
    monkeypatch.setattr("dep.export.verify.SCORE_TOLERANCE", 1.0)
    network = DeployedNetwork(load_checkpoint(trained).network, [True, False, True])
    comparison = compare(network, tmp_path / "m.onnx", card, None, half_weights=False)
    assert comparison.agreement == pytest.approx(agreement)
    assert comparison.agrees == (agreement == 1)
