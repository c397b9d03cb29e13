"""Beside every TensorRT plan lies `NAME.plan.json`: its card, and what the plan needs.

A plan is bytes for one TensorRT and one kind of GPU, and says so to nobody. So the
document beside it does: what built it, for what, and the command that builds it again.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from dep.engine.card import ModelCard
from dep.engine.errors import CardError, DeviceError, ModelError
from dep.engine.runtime.tensorrt_api import TensorRt

SUFFIX = ".json"


@dataclass(frozen=True, kw_only=True)
class PlanOrigin:
    """What built a plan, and for what.

    Attributes
    ----------
    builder : {"tensorrt", "tensorrt_rtx"}
        Which TensorRT.
    version : str
        Of it.
    batch : (int, int, int)
        Fewest, best and most tiles at once.
    compute_capabilities : tuple of str
        That the plan is for, "8.6"; empty for all that the builder knows, or, with
        `tensorrt`, for that of `gpu`.
    gpu : str or None
        The GPU it was built on; None where there was none.
    version_compatible, hardware_compatible : bool
        Runs with newer versions; on other GPUs from Ampere on.
    onnx : str
        Name of the file it was built from.
    onnx_sha256 : str
        Of that file's bytes.
    command : str
        That builds it again.
    """

    builder: str
    version: str
    batch: tuple[int, int, int]
    compute_capabilities: tuple[str, ...] = ()
    gpu: str | None = None
    version_compatible: bool = False
    hardware_compatible: bool = False
    onnx: str
    onnx_sha256: str
    command: str

    @classmethod
    def from_dict(cls, values: Any, source: str) -> "PlanOrigin":  # noqa: ANN401 - parsed JSON
        """Check what was read from `source`.

        Raises
        ------
        CardError
            An entry is missing or of the wrong kind.
        """
        names = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or not names <= set(values):
            lacking = sorted(names - set(values if isinstance(values, dict) else ()))
            message = (
                f"{source}: does not say how the plan was built (no "
                f"{', '.join(lacking)}). Export the plan again."
            )
            raise CardError(message)
        known = {name: values[name] for name in names}
        try:
            known["batch"] = tuple(int(one) for one in known["batch"])
            known["compute_capabilities"] = tuple(
                str(one) for one in known["compute_capabilities"]
            )
            low, best, high = known["batch"]
        except (TypeError, ValueError) as error:
            message = f"{source}: batch or compute_capabilities is not a list ({error})"
            raise CardError(message) from error
        if not 1 <= low <= best <= high:
            message = f"{source}: batch: expected 1 <= {low} <= {best} <= {high}"
            raise CardError(message)
        return cls(**known)


def plan_document(plan: Path | str, card: ModelCard, origin: PlanOrigin) -> str:
    """Give the text of ``<name>.plan.json`` that ties a card to a plan's bytes."""
    plan = Path(plan)
    document = {
        "plan_sha256": sha256(plan),
        "plan_bytes": plan.stat().st_size,
        "built": asdict(origin),
        "card": card.to_dict(),
    }
    return json.dumps(document, indent=1, ensure_ascii=False)


def read_plan(path: Path) -> tuple[ModelCard, PlanOrigin]:
    """Read what lies beside a plan, and make sure that it belongs to it.

    Raises
    ------
    CardError
        No document, a damaged one, or that of another plan.
    ModelError
        The plan is cut off.
    """
    beside = path.with_name(path.name + SUFFIX)
    try:
        text = beside.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        message = (
            f"{path}: no model card; expected it beside the plan as {beside.name}. "
            "`dep export -o MODEL.plan` writes both: keep them together."
        )
        raise CardError(message) from error
    except (OSError, UnicodeDecodeError) as error:
        message = f"{beside}: the model card cannot be read ({error})"
        raise CardError(message) from error
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        message = f"{beside}: the model card is not valid JSON ({error})"
        raise CardError(message) from error
    if not isinstance(document, dict) or not isinstance(document.get("card"), dict):
        message = (
            f"{beside}: expected a JSON object with the entries 'plan_sha256', 'built' "
            "and 'card'. `dep export -o MODEL.plan` writes it."
        )
        raise CardError(message)
    _check_bytes(path, beside, document)
    origin = PlanOrigin.from_dict(document.get("built"), str(beside))
    return ModelCard.from_json(json.dumps(document["card"]), str(beside)), origin


def _check_bytes(path: Path, beside: Path, document: dict[str, Any]) -> None:
    built = document.get("built")
    command = built.get("command") if isinstance(built, dict) else None
    again = f"build it again with: {command}" if command else "export it again"
    size, expected_size = path.stat().st_size, document.get("plan_bytes")
    if isinstance(expected_size, int) and size < expected_size:
        message = (
            f"{path}: cut off: {size:,} of {expected_size:,} bytes. Copy the plan "
            f"again, or {again}"
        )
        raise ModelError(message)
    found, expected = sha256(path), document.get("plan_sha256")
    if found != expected:
        message = (
            f"{path}: this is not the plan that {beside.name} describes "
            f"(SHA-256 {found}, expected {expected}). Bring the two that belong "
            f"together, or {again}"
        )
        raise CardError(message)


def check_plan(
    path: Path, origin: PlanOrigin, api: TensorRt, capability: str | None
) -> None:
    """Refuse a plan that this TensorRT or this GPU cannot run, before it is opened.

    Parameters
    ----------
    path, origin
        The plan and what it needs.
    api
        The TensorRT at hand.
    capability : str, optional
        Of the GPU at hand, "9.0".

    Raises
    ------
    DeviceError
        Says what does not fit, and which command builds a plan that does.
    """
    again = f"Build it here with: {origin.command}"
    if origin.builder != api.name:
        message = f"{path}: built by {origin.builder}, here is {api.name}. {again}"
        raise DeviceError(message)
    if origin.version != api.version and not origin.version_compatible:
        message = (
            f"{path}: built by {origin.builder} {origin.version}, here is "
            f"{api.version}; a plan runs with the version that built it. {again}"
        )
        raise DeviceError(message)
    wanted = origin.compute_capabilities
    if capability and wanted and capability not in wanted:
        newer = origin.hardware_compatible and _number(capability) >= (8, 0)
        if not newer:
            message = (
                f"{path}: built for compute capability {', '.join(wanted)}, this GPU "
                f"has {capability}. {again}"
            )
            raise DeviceError(message)


def _number(capability: str) -> tuple[int, ...]:
    return tuple(int(part) for part in capability.split("."))


def sha256(path: Path) -> str:
    """Digest a file's bytes, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
