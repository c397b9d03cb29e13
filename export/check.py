"""Run a plan on this machine's GPU, and compare it with what it was made from."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from dep.engine.card import ModelCard
from dep.engine.errors import DeviceError
from dep.engine.runtime.choose import open_runtime
from dep.export.agreement import Comparison
from dep.export.errors import ExportError
from dep.export.verify import compare_plan

if TYPE_CHECKING:
    from dep.train.deployed import DeployedNetwork


def need_gpu() -> None:
    """Make sure that a plan can be run here, before one is built.

    Raises
    ------
    DeviceError
        There is no GPU, or nothing to reach it with.
    """
    from dep.engine.runtime.gpu_choice import find_gpu

    try:
        find_gpu()
    except DeviceError as error:
        message = (
            f"--check runs the plan, and that needs an NVIDIA GPU: {error}. Leave out "
            "--check to build the plan without running it."
        )
        raise DeviceError(message) from error


def plan_check(
    model: Path,
    tomogram: Path | None,
    network: "DeployedNetwork | None",
    done: Callable[[list[Comparison]], None],
) -> Callable[[Path, ModelCard], None]:
    """Make the check that `export_plan` takes.

    Parameters
    ----------
    model
        The ONNX file that the plan is built from.
    tomogram
        Whose tiles to compare on; None: noise.
    network
        In torch; None: plan and ONNX file alone.
    done
        Told the comparisons when all agree.

    Returns
    -------
    callable
        Takes plan and card; raises ExportError with what disagrees.
    """

    def check(plan: Path, card: ModelCard) -> None:
        runtime = open_runtime(plan, card, device="cuda")
        try:
            comparisons = compare_plan(runtime, model, card, tomogram, network)
        finally:
            runtime.close()
        if wrong := [str(one) for one in comparisons if not one.agrees]:
            message = f"{plan.name}: not written, it does not agree: " + "; ".join(
                wrong
            )
            raise ExportError(message)
        done(comparisons)

    return check


def network_of(model: Path) -> tuple["DeployedNetwork | None", str]:
    """Take the network out of an ONNX file, where there is torch and it can be.

    Returns
    -------
    network, why
        The network, or None and why there is none.
    """
    lacking = [name for name in ("torch", "onnx") if find_spec(name) is None]
    if lacking:
        return None, f"{' and '.join(lacking)} not installed"
    from dep.export.sources import open_source
    from dep.train.checkpoint import CheckpointError

    try:
        return open_source(model, {}, None).network, ""
    except CheckpointError as error:
        return None, str(error)
