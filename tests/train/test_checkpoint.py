"""Checkpoints are read without running what they hold, and bad ones are explained."""

import argparse
import io
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
    network = ResUNet3D(NetworkConfig(2, (4, 8)))
    torch.save({"state_dict": network.state_dict(), "extra": Trap()}, path)
    assert load_checkpoint(path).network.config == network.config
    torch.save({"state_dict": Trap(), "extra": 1}, path)
    with pytest.raises(CheckpointError, match="found Inert"):
        load_checkpoint(path)
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(CheckpointError):
        load_checkpoint(path)


class Attributes(dict):
    """Hyper-parameters as trainers of some age keep them."""


@pytest.mark.parametrize("prefix", ["model.", "module.", "model.module.", ""])
@pytest.mark.parametrize("legacy", [True, False])
def test_objects_beside_the_weights_are_stepped_over(tmp_path, prefix, legacy):
    network = ResUNet3D(NetworkConfig(3, (4, 8)))
    state = {prefix + k: v for k, v in network.state_dict().items()}
    state["dice_loss.weight"] = torch.ones(3)
    wrapper = {
        "state_dict": state,
        "hyper_parameters": Attributes(block_size=72, kind=argparse.Namespace(a=1)),
        "hparams_name": {"kwargs", Path("x")},
        "callbacks": {argparse.Namespace: {"best": Path("model.ckpt")}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(2)}}}],
        "global_step": 7,
        "pytorch-lightning_version": "1.2.0",
    }
    path = tmp_path / "x.ckpt"
    torch.save(wrapper, path, _use_new_zipfile_serialization=not legacy)
    loaded = load_checkpoint(path)
    assert loaded.step == 7
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[name], value), name


@given(st.data())
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_damaged_checkpoints_of_any_age_are_explained(tmp_path, data):
    network = ResUNet3D(NetworkConfig(1, (1, 1)))
    path = tmp_path / "x.ckpt"
    whole = io.BytesIO()
    legacy = data.draw(st.booleans())
    torch.save(
        {"state_dict": network.state_dict(), "hyper_parameters": Attributes(a=1)},
        whole,
        _use_new_zipfile_serialization=not legacy,
    )
    content = bytearray(whole.getvalue())
    # A share: the length varies with the addresses that old files name storages after.
    place = data.draw(st.integers(0, 0xFFFF)) * len(content) >> 16
    if data.draw(st.booleans()):
        content[place] ^= data.draw(st.integers(1, 255))
    else:
        del content[place:]
    path.write_bytes(content)
    message = ""
    try:
        load_checkpoint(path)
    except CheckpointError as error:
        message = str(error)
    assert not message or "x.ckpt" in message


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
