"""`--init`: start from the weights of another network, classes found by name."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dep.engine.bundled import BUNDLED, model_path
from dep.engine.model_file import read_card
from dep.train.card import weights_digest
from dep.train.checkpoint import CheckpointError, load_checkpoint, load_last
from dep.train.config import TrainConfig, config_values, parse_config
from dep.train.model_weights import load_model_weights
from dep.train.network import ConvBlock, NetworkConfig, ResUNet3D

FINAL = "final_conv."


@dataclass(frozen=True)
class Initial:
    """Weights to start from.

    Attributes
    ----------
    origin
        What messages call them.
    network
        In evaluation mode, on the CPU, float32.
    classes
        Names in the order of the outputs, None for one without a name; None where
        nothing is known of the classes (a checkpoint of the published tool).
    folded
        Its batch norms were folded into its convolutions.
    digest
        SHA-256 of the weights: what the card of a model file says, and what the card
        in a run's folder says of its `model.ckpt`.
    """

    origin: str
    network: ResUNet3D
    classes: tuple[str | None, ...] | None
    folded: bool
    digest: str = ""


def load_initial(source: str | Path) -> Initial:
    """Read what `--init` names.

    Parameters
    ----------
    source
        A checkpoint of ours or of the published tool, a model file of ours (.onnx), or
        the name of a bundled model ("bundled" is the standard one).

    Raises
    ------
    CheckpointError
        If there is no network in it.
    ModelError
        If a model file cannot be read.
    """
    path = model_path("default" if str(source) == "bundled" else source)
    named = str(source) in ("bundled", *BUNDLED) and path != Path(source)
    origin = f"the bundled model {path.stem}" if named else str(path)
    if path.suffix == ".onnx":
        model = load_model_weights(path)
        digest = read_card(path).weights_digest
        return Initial(origin, model.network, model.classes, True, digest)
    checkpoint = load_checkpoint(path)
    classes = None
    if checkpoint.config is not None:
        classes = tuple(str(one["name"]) for one in checkpoint.config["classes"])
    state = checkpoint.network.state_dict()
    digest = weights_digest({name: value.numpy() for name, value in state.items()})
    return Initial(origin, checkpoint.network, classes, False, digest)


def started_from(initial: Initial, config: TrainConfig) -> dict[str, Any]:
    """Tell where a training's weights came from, for its records.

    Returns
    -------
    dict
        Plain values: `weights`, the bundled model or the file's name (folders differ
        between machines); `weights_digest`; `classes_taken_over` and `classes_new`.
    """
    known = _known_classes(initial, config)
    wanted = [entry.name for entry in config.classes]
    return {
        "weights": Path(initial.origin).name,
        "weights_digest": initial.digest,
        "classes_taken_over": [name for name in wanted if name in known],
        "classes_new": [name for name in wanted if name not in known],
    }


def _known_classes(initial: Initial, config: TrainConfig) -> tuple[str | None, ...]:
    """Name the classes of other weights; ours, where they are as many and nameless."""
    if initial.classes is not None:
        return initial.classes
    if initial.network.config.outputs == config.outputs:
        return tuple(entry.name for entry in config.classes)
    return ()


def network_section(network: NetworkConfig) -> dict[str, Any]:
    """Return a network as the values of a `[network]` section."""
    values = network.to_dict()
    del values["outputs"]
    return values


def default_network(
    last: Path, *, resume: bool, init: str | Path | None
) -> dict[str, Any] | None:
    """Return the `[network]` of a configuration that has none, or None for ours.

    Parameters
    ----------
    last
        The run's `last.ckpt`.
    resume, init
        As for `dep.train.train`.

    Raises
    ------
    CheckpointError, ModelError
        If there is no network in what they name.
    """
    if resume:
        return network_section(load_last(last).network.config)
    if init is not None:
        return network_section(load_initial(init).network.config)
    return None


def with_network(config: TrainConfig, network: NetworkConfig) -> TrainConfig:
    """Return a configuration that has this network unless it has its own.

    Raises
    ------
    ConfigError
        If tiles or patches do not fit the network.
    """
    if "network" in config.model_fields_set:
        return config
    values = {**config_values(config), "network": network_section(network)}
    return parse_config(values, config.name)


def remap(
    initial: Initial, network: ResUNet3D, config: TrainConfig
) -> tuple[dict[str, Tensor], list[str]]:
    """Fit weights to the classes of a configuration.

    All layers but the last are taken over. In the last, the background and classes of
    the same name keep their weights; new classes keep those of `network`. Between one
    output (sigmoid) and many (softmax), the logit of the one is the difference of its
    class's and the background's: sigmoid(a - b) = softmax(b, a) of a. The row of
    `network`'s background is then added to all known ones, which changes nothing
    between them and keeps new classes as unlikely as they are in a new network.

    Parameters
    ----------
    initial
        From `load_initial`.
    network
        Freshly made for `config`.
    config
        Of the training.

    Returns
    -------
    state, notes
        For `load_state_dict`, and what a person should know.

    Raises
    ------
    CheckpointError
        If the networks differ in more than their outputs.
    """
    _check_same(initial, network.config)
    wanted = tuple(entry.name for entry in config.classes)
    known = _known_classes(initial, config)
    sentences = []
    if initial.classes is None and known:
        sentences.append("it does not name its classes: they are taken in their order")
    rows = _rows(initial.network.final_conv, known)
    fresh = network.state_dict()
    state = {**initial.network.state_dict()}
    for key in ("weight", "bias"):
        made = fresh[FINAL + key].cpu().clone()
        known_rows = {name: row[key] for name, row in rows.items()}
        if initial.network.config.outputs == 1 < len(made):
            known_rows = {name: row + made[0] for name, row in known_rows.items()}
        _fill(made, known_rows, wanted)
        state[FINAL + key] = made
    old = [name for name in wanted if name in rows]
    new = [name for name in wanted if name not in rows]
    if old:
        sentences.append(f"classes taken over: {', '.join(old)}")
    if new:
        sentences.append(f"classes new to it: {', '.join(new)}")
    return state, [f"starts from {initial.origin}; " + "; ".join(sentences)]


def _rows(
    final: nn.Conv3d, classes: Iterable[str | None]
) -> dict[str | None, dict[str, Tensor]]:
    """Return the output rows by class; None is the background's, 0 under a sigmoid."""
    values = {"weight": final.weight.detach(), "bias": final.bias.detach()}  # type: ignore[union-attr]
    if final.out_channels == 1:
        values = {
            key: torch.stack((torch.zeros_like(value[0]), value[0]))
            for key, value in values.items()
        }
    rows: dict[str | None, dict[str, Tensor]] = {
        name: {key: value[number] for key, value in values.items()}
        for number, name in enumerate(classes, start=1)
        if name is not None
    }
    rows[None] = {key: value[0] for key, value in values.items()}
    return rows


def _fill(
    made: Tensor, rows: Mapping[str | None, Tensor], wanted: tuple[str, ...]
) -> None:
    """Write known rows into a new last layer's weight or bias."""
    if len(made) == 1:
        if wanted[0] in rows:
            made[0] = rows[wanted[0]] - rows[None]
        return
    made[0] = rows[None]
    for number, name in enumerate(wanted, start=1):
        if name in rows:
            made[number] = rows[name]


def _check_same(initial: Initial, wanted: NetworkConfig) -> None:
    found = initial.network.config
    differ = [
        f"{field.name} is {_shown(found, field.name)} there and "
        f"{_shown(wanted, field.name)} in the configuration"
        for field in fields(NetworkConfig)
        if field.name != "outputs"
        and getattr(found, field.name) != getattr(wanted, field.name)
    ]
    if differ:
        msg = (
            f"{initial.origin}: holds another network: {'; '.join(differ)}. Leave "
            "[network] out of the configuration to take that of the weights"
        )
        raise CheckpointError(msg)


def _shown(config: NetworkConfig, name: str) -> str:
    value = getattr(config, name)
    return str(list(value) if isinstance(value, tuple) else value).lower()


@torch.no_grad()
def calibrate(network: ResUNet3D, forward: Callable[[], None]) -> None:
    """Let folded batch norms normalise again, without changing what is computed.

    With batch norms that are identities a network computes in evaluation what it was
    exported to; in training, though, they would normalise by the batch's statistics,
    which are not 0 and 1, and the network would be another. So mean m and variance v
    of each convolution's output are measured, and its batch norm is made to subtract m,
    divide by sqrt(v + eps), multiply by the same and add m: the identity again, and
    nearly so in training.

    Parameters
    ----------
    network
        Whose batch norms are identities.
    forward
        Runs it on typical patches.
    """
    sums: dict[ConvBlock, list[Tensor]] = {}
    handles = []
    for module in network.modules():
        if isinstance(module, ConvBlock):
            sums[module] = []

            def measure(
                _conv: nn.Module,
                _args: object,
                output: Tensor,
                block: ConvBlock = module,
            ) -> None:
                axes = (0, 2, 3, 4)
                x = output.double()
                sums[block].append(torch.stack((x.mean(axes), x.square().mean(axes))))

            handles.append(module.conv.register_forward_hook(measure))
    training = network.training
    network.eval()
    try:
        forward()
    finally:
        for handle in handles:
            handle.remove()
        network.train(training)
    for block, parts in sums.items():
        mean, square = torch.stack(parts).mean(0)
        norm = block.batchnorm
        variance = (square - mean.square()).clamp_min(0)
        norm.running_mean.copy_(mean)  # type: ignore[union-attr]
        norm.running_var.copy_(variance)  # type: ignore[union-attr]
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.copy_(mean)
