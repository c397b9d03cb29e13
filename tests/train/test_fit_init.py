"""--init: weights of other files, exactly; classes found by name."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from dep.engine.bundled import bundled_model
from dep.engine.model_file import onnx_metadata
from dep.export import export_onnx
from dep.train import (
    CheckpointError,
    NetworkConfig,
    ResUNet3D,
    load_checkpoint,
    load_config,
    train,
)
from dep.train.checkpoint import save_checkpoint
from dep.train.config import config_values, parse_config
from dep.train.deployed import fold_batch_norm
from dep.train.fit import train_rank
from dep.train.init_weights import (
    Initial,
    calibrate,
    default_network,
    load_initial,
    remap,
    with_network,
)
from dep.train.model_weights import identities, load_model_weights
from dep.train.ranks import Ranks
from dep.train.run_folder import RunFolder
from dep.train.state import network_config


def logits_of_file(path, tile):
    """What goes into the softmax inside the file."""
    model = onnx.load(str(path))
    (last,) = (node.input[0] for node in model.graph.node if node.op_type == "Softmax")
    model.graph.output.append(onnx.ValueInfoProto(name=last))
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run([last], {"tomogram": tile})[0]


def logits_of(network, tile):
    with torch.inference_mode():
        return network(torch.from_numpy(tile)).numpy()


def noise(edge, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((1, 1, edge, edge, edge), dtype=np.float32)


def test_the_bundled_model_computes_the_same_in_torch():
    model = load_model_weights(bundled_model())
    tile = noise(96)
    expected = logits_of_file(bundled_model(), tile)
    assert np.abs(logits_of(model.network, tile) - expected).max() < 1e-4
    assert np.abs(expected).max() > 1
    assert model.classes[:2] == ("1s3x", "3qm1")
    assert model.network.config.outputs == len(model.classes) + 1


@pytest.mark.parametrize(("half", "told"), [(False, True), (True, False)])
def test_an_exported_model_gives_its_network_back(run_files, tmp_path, half, told):
    values = config_values(load_config(run_files.config))
    values["network"] |= {"activation": "elu", "residual": not half}
    config = parse_config(values, "test")
    torch.manual_seed(1)
    network = randomised(ResUNet3D(network_config(config)))
    save_network(tmp_path / "model.ckpt", network, config)
    path = tmp_path / "model.onnx"
    tomogram = run_files.folder / "tomo.mrc"
    export_onnx(tmp_path / "model.ckpt", path, half_weights=half, check_on=tomogram)
    assert json.loads(onnx_metadata(path)["dep.network"])["classes"] == [
        "a",
        "bead",
        "b",
    ]
    if not told:  # as files were written before they told
        model = onnx.load(str(path))
        kept = [p for p in model.metadata_props if p.key != "dep.network"]
        del model.metadata_props[:]
        model.metadata_props.extend(kept)
        onnx.save(model, str(path))
    found = load_model_weights(path)
    assert found.network.config == network.config
    assert found.classes == ("a", "bead" if told else None, "b")
    tile = noise(24)
    expected = logits_of_file(path, tile)
    assert np.abs(logits_of(found.network, tile) - expected).max() < 1e-4


def randomised(network):
    """Batch norms as after training."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.3)
    return network.eval()


def save_network(path, network, config):
    save_checkpoint(
        path,
        {
            "network": network.config.to_dict(),
            "state_dict": network.state_dict(),
            "config": config_values(config),
            "step": 7,
            "software": "tests",
        },
    )


def test_calibration_changes_training_and_not_evaluation():
    torch.manual_seed(0)
    plain = randomised(ResUNet3D(NetworkConfig(3, (4, 8), coordinates=False)))
    folded = ResUNet3D(plain.config).eval()
    state = fold_batch_norm(plain).state_dict()
    folded.load_state_dict({**state, **identities(folded)})
    patches = [torch.from_numpy(noise(24, seed)) for seed in range(4)]
    before = logits_of(folded, noise(24))
    np.testing.assert_allclose(before, logits_of(plain, noise(24)), atol=1e-4)

    def apart(network):
        """How far what is computed in training is from evaluation."""
        network.train()
        with torch.no_grad():
            inside = network(torch.cat(patches))
        network.eval()
        with torch.no_grad():
            return float((inside - network(torch.cat(patches))).abs().mean())

    state = {key: value.clone() for key, value in folded.state_dict().items()}
    wrong = apart(folded)
    folded.load_state_dict(state)
    calibrate(folded, lambda: [folded(patch) for patch in patches])
    np.testing.assert_allclose(logits_of(folded, noise(24)), before, atol=1e-4)
    assert apart(folded) < 0.05 * wrong


def test_all_ranks_calibrate_to_one_network(run_files, tmp_path, monkeypatch):
    """Of its average nothing else is ever told among them, and it is validated."""
    config = load_config(run_files.config)
    torch.manual_seed(1)
    plain = randomised(ResUNet3D(network_config(config)))
    folded = ResUNet3D(plain.config)
    state = fold_batch_norm(plain).state_dict()
    folded.load_state_dict({**state, **identities(folded)})
    monkeypatch.setattr(
        "dep.train.fit.load_initial",
        lambda source: Initial(source, folded, ("a", "bead", "b"), folded=True),
    )
    runs = []
    monkeypatch.setattr(
        "dep.train.fit._make_steps", lambda learner, *_: runs.append(learner.run)
    )
    folder = RunFolder(tmp_path / "run")
    for ranks in (Ranks(0, 2, 0, 2), Ranks(1, 2, 1, 2)):
        train_rank(config, folder, ranks, "cpu", False, "x.onnx", None)
    for kind in ("network", "average"):
        one, other = (getattr(run, kind).state_dict() for run in runs)
        assert [key for key in one if not torch.equal(one[key], other[key])] == []
    norm = "encoders.0.basic_module.conv1.batchnorm.running_var"
    assert (one[norm] != folded.state_dict()[norm]).all()


def classes(config, *names):
    entries = [{"name": name, "diameter": 80.0} for name in names]
    return parse_config({**config_values(config), "classes": entries}, "test")


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (("a", "b"), ("b", "c", "a")),
        (("a", "b"), ("a",)),
        (("a",), ("c", "a")),
        (("a",), ("a",)),
        (("a", "b"), ("c",)),
        (("a", None), ("b", "a")),
    ],
)
def test_classes_are_found_by_name(run_files, theirs, ours):
    config = classes(load_config(run_files.config), *ours)
    outputs = 1 if len(theirs) == 1 else len(theirs) + 1
    kind = network_config(config)
    source = ResUNet3D(NetworkConfig.from_dict({**kind.to_dict(), "outputs": outputs}))
    fresh = ResUNet3D(kind)
    state, (note,) = remap(Initial("x.ckpt", source, theirs, False), fresh, config)
    target = ResUNet3D(kind)
    target.load_state_dict(state)
    tile = noise(16)
    old, new, untrained = (logits_of(n.eval(), tile) for n in (source, target, fresh))
    if outputs == 1:  # the background of a sigmoid has logit 0
        old = np.concatenate((0 * old, old), axis=1)
    if new.shape[1] == 1:
        new = np.concatenate((0 * new, new), axis=1)
        old = old - old[:, :1]
    if outputs == 1:  # whatever was added to all known classes and the background
        new = new - new[:, :1]
    np.testing.assert_allclose(new[:, 0], old[:, 0], atol=1e-5)
    for number, name in enumerate(ours, start=1):
        if name in theirs:
            row = old[:, theirs.index(name) + 1]
            np.testing.assert_allclose(new[:, number], row, atol=1e-5)
            assert name in note.split("taken over:")[1].split(";")[0]
        else:
            assert name in note.split("new to it:")[1]
    assert untrained.shape[1] == (1 if len(ours) == 1 else len(ours) + 1)


def test_a_class_beside_that_of_a_sigmoid_is_as_rare_as_in_a_new_network(run_files):
    """Else it would be half of a tomogram: the background of a sigmoid has logit 0."""
    config = classes(load_config(run_files.config), "c", "a")
    kind = network_config(config)
    source = ResUNet3D(NetworkConfig.from_dict({**kind.to_dict(), "outputs": 1}))
    fresh = ResUNet3D(kind)
    state, _ = remap(Initial("x.ckpt", source, ("a",), False), fresh, config)
    target = ResUNet3D(kind)
    target.load_state_dict(state)

    def parts(network):
        logits = logits_of(network.eval(), noise(16))
        whole = np.exp(logits - logits.max(axis=1, keepdims=True))
        return (whole / whole.sum(axis=1, keepdims=True)).mean(axis=(0, 2, 3, 4))

    assert parts(fresh)[1] < 0.1
    assert parts(target)[1] < 0.1
    # What the sigmoid said of its own class is said still, beside the background.
    logits = logits_of(target.eval(), noise(16))
    said = logits_of(source.eval(), noise(16))[:, 0]
    np.testing.assert_allclose(logits[:, 2] - logits[:, 0], said, atol=1e-4)


def test_a_published_checkpoint_does_not_name_its_classes(run_files):
    config = load_config(run_files.config)
    source = ResUNet3D(network_config(config))
    state, (note,) = remap(
        Initial("x.ckpt", source, None, False), ResUNet3D(source.config), config
    )
    assert all(torch.equal(state[key], v) for key, v in source.state_dict().items())
    assert "in their order" in note


def test_another_network_is_told_apart(run_files):
    config = load_config(run_files.config)
    source = ResUNet3D(NetworkConfig(4, (4, 8, 16), coordinates=False, stem_stride=2))
    with pytest.raises(CheckpointError) as error:
        remap(
            Initial("x.ckpt", source, None, False),
            ResUNet3D(network_config(config)),
            config,
        )
    assert "widths is [4, 8, 16] there and [4, 8] in the configuration" in str(
        error.value
    )
    assert "coordinates" not in str(error.value)


def test_a_run_takes_the_network_of_the_weights_and_keeps_it(run_files, tmp_path):
    first = train(load_config(run_files.config), tmp_path / "first")
    text = run_files.config.read_text()
    section = "[network]\nwidths = [4, 8]\ncoordinates = false\nstem_stride = 2\n"
    assert section in text
    run_files.config.write_text(text.replace(section, ""))
    run = tmp_path / "second"
    taken = default_network(run / "last.ckpt", resume=False, init=first)
    config = load_config(run_files.config, taken)
    still = config.training.model_copy(
        update={"learning_rate": 1e-12, "steps": 1, "ema_decay": 0.0}
    )
    config = config.model_copy(update={"training": still})
    notes = []
    second = train(
        config,
        run,
        init=first,
        progress=lambda r: notes.append(r.note) if r.note else None,
    )
    a, b = (load_checkpoint(path).network for path in (first, second))
    assert a.config == b.config
    torch.testing.assert_close(a.final_conv.weight, b.final_conv.weight)
    assert any("classes taken over: a, bead, b" in note for note in notes)
    assert default_network(run / "last.ckpt", resume=True, init=None) == taken


def test_a_configuration_with_a_network_keeps_it(run_files):
    config = load_config(run_files.config)
    assert with_network(config, NetworkConfig(4, (8, 16))) is config


def test_what_is_no_model_is_refused(tmp_path):
    path = tmp_path / "x.onnx"
    path.write_bytes(bundled_model().read_bytes())
    model = onnx.load(str(path))
    weight = next(
        i for i in model.graph.initializer if i.name.endswith("conv2.conv.bias")
    )
    model.graph.initializer.remove(weight)
    onnx.save(model, str(path))
    with pytest.raises(CheckpointError, match=r"conv2\.conv\.bias"):
        load_initial(path)
