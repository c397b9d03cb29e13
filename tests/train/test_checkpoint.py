"""Checkpoints are read without running what they hold, and bad ones are explained."""

import pickle

import pytest
import torch

from dep.train import CheckpointError, NetworkConfig, ResUNet3D, load_checkpoint


@pytest.mark.parametrize("prefix", ["model.", ""])
@pytest.mark.parametrize("outputs", [1, 4])
@pytest.mark.parametrize("coordinates", [True, False])
@pytest.mark.parametrize("pyramid", [True, False])
def test_published_layout(tmp_path, prefix, outputs, coordinates, pyramid):
    config = NetworkConfig(outputs, (4, 8, 12), coordinates, pyramid)
    network = ResUNet3D(config)
    state = {prefix + k: v for k, v in network.state_dict().items()}
    path = tmp_path / "x.ckpt"
    torch.save({"state_dict": state, "epoch": 3}, path)
    loaded = load_checkpoint(path)
    assert loaded.network.config == config
    assert loaded.config is None
    assert not loaded.network.training


class Trap:
    def __reduce__(self):
        return (exec, ("raise SystemExit('pickled code was run')",))


def test_pickled_code_is_never_run(tmp_path):
    path = tmp_path / "trap.ckpt"
    torch.save({"state_dict": {}, "extra": Trap()}, path)
    with pytest.raises(CheckpointError, match="could run code"):
        load_checkpoint(path)
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(CheckpointError):
        load_checkpoint(path)


def test_not_a_checkpoint(tmp_path):
    path = tmp_path / "x.ckpt"
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(path)
    for junk in (b"hello", b"", b"\x80\x02", b"PK\x03\x04", bytes(range(256))):
        path.write_bytes(junk)
        with pytest.raises(CheckpointError, match=r"x\.ckpt"):
            load_checkpoint(path)
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="found list"):
        load_checkpoint(path)
    torch.save({"weights": 3}, path)
    with pytest.raises(CheckpointError, match="state_dict"):
        load_checkpoint(path)
    torch.save({"a": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match="3D ResUNet"):
        load_checkpoint(path)


def test_weights_that_fit_no_network(tmp_path):
    state = ResUNet3D(NetworkConfig(2, (4, 8))).state_dict()
    state.pop("decoders.0.basic_module.conv2.conv.bias")
    path = tmp_path / "x.ckpt"
    torch.save({"state_dict": state}, path)
    with pytest.raises(CheckpointError, match=r"conv2\.conv\.bias"):
        load_checkpoint(path)


def test_truncated_and_newer(tmp_path):
    path = tmp_path / "x.ckpt"
    torch.save({"format": "dep-checkpoint", "version": 2}, path)
    with pytest.raises(CheckpointError, match="version 2"):
        load_checkpoint(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(CheckpointError, match=r"x\.ckpt"):
        load_checkpoint(path)
