"""What a checkpoint of the published tool does not say, and the card made from it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dep import __version__
from dep.engine.card import ClassInfo, Contrast, ModelCard
from dep.export.errors import ExportError

if TYPE_CHECKING:
    from dep.train.network import NetworkConfig

# The published tool's own settings (REFERENCE, the published pipeline): patches of 72
# voxels with a margin of 12, labels of 7, t_seg 0.5, t_lm 0.1, labels per class.
TILE, MARGIN, LABEL = 72, 12, 7
T_SEG, T_LM = 0.5, 0.1
_CHANGES = ("tile", "margin", "t_seg", "t_lm", "t_dist")


@dataclass(frozen=True)
class Published:
    """What must be told of a checkpoint of the published tool.

    Attributes
    ----------
    classes
        Name and diameter in ångström, in the order of the network's classes.
    voxel_size
        Ångström, of the tomograms that it was trained on.
    contrast
        How particles look in them.
    name
        Of the model.
    label_diameter
        Voxels, of the weak labels that it was trained on.
    """

    classes: Sequence[ClassInfo]
    voxel_size: float
    contrast: Contrast = "dark"
    name: str = "deepetpicker"
    label_diameter: int = LABEL

    def card(
        self, network: "NetworkConfig", picking: Mapping[str, Any], digest: str
    ) -> ModelCard:
        """Describe the network.

        Parameters
        ----------
        network
            That the checkpoint holds.
        picking
            `tile`, `margin`, `t_seg`, `t_lm` and `t_dist` where they are not the
            published tool's. With coordinate channels the network depends on its tile:
            `tile` must then be the edge of the patches that it was trained on.
        digest
            Of the weights.

        Raises
        ------
        ExportError
            The classes are not as many as the network's.
        CardError
            Listing whatever else is wrong.
        """
        expected = max(1, network.outputs - 1)
        if len(self.classes) != expected:
            channels = "channel" if network.outputs == 1 else "channels, background one"
            msg = (
                f"the network tells {expected} "
                f"{'class' if expected == 1 else 'classes'} apart ({network.outputs} "
                f"{channels}), {len(self.classes)} are named: name each of them with "
                "--classes NAME:DIAMETER,..., in the order of the training's labels"
            )
            raise ExportError(msg)
        unknown = sorted(set(picking) - set(_CHANGES))
        if unknown:
            msg = f"picking: expected {', '.join(_CHANGES)}, found {', '.join(unknown)}"
            raise ExportError(msg)
        smallest = min(one.diameter for one in self.classes) / self.voxel_size
        chosen = {
            "tile": TILE,
            "margin": MARGIN,
            "t_seg": T_SEG,
            "t_lm": T_LM,
            "t_dist": float(smallest // 2 + 1),
            **picking,
        }
        return ModelCard(
            name=self.name,
            classes=tuple(self.classes),
            voxel_size=self.voxel_size,
            contrast=self.contrast,
            activation="softmax" if network.outputs > 1 else "sigmoid",
            tile_fixed=network.coordinates,
            tile_multiple=network.multiple,
            label_kind="tball",
            label_diameter=self.label_diameter,
            assembly="per_class",
            iterations=min(13, self.label_diameter // 2),
            trained_on="by the published DeepETPicker; not said by its checkpoint",
            software=f"dep {__version__}",
            weights_digest=digest,
            **chosen,
        )

    def network_entry(self, network: "NetworkConfig") -> str:
        """Return the metadata entry `dep.network`."""
        names = [one.name for one in self.classes]
        return json.dumps(
            {"network": network.to_dict(), "classes": names}, ensure_ascii=False
        )


def parse_classes(text: str) -> tuple[ClassInfo, ...]:
    """Read classes from ``NAME:DIAMETER,NAME:DIAMETER``, diameters in ångström.

    Raises
    ------
    ExportError
        Naming the first part that is not a name and a positive number.
    """
    classes = []
    for part in text.split(","):
        name, colon, diameter = part.strip().rpartition(":")
        try:
            value = float(diameter)
        except ValueError:
            value = 0.0
        if not (colon and name.strip() and 0 < value < float("inf")):
            msg = (
                f"--classes: expected NAME:DIAMETER with the diameter in ångström, "
                f"separated by commas (ribosome:250,proteasome:120), found {part!r}"
            )
            raise ExportError(msg)
        classes.append(ClassInfo(name.strip(), value))
    return tuple(classes)
