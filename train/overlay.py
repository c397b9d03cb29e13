"""`overlay_*.png`: picks and annotated centres on slices of a tomogram."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from matplotlib.patheffects import Stroke, withStroke

from dep.engine.metrics import match
from dep.train.config import TrainConfig
from dep.train.curves import png
from dep.train.data import AnnotatedTomogram
from dep.train.validate import Picked, reported

# Okabe & Ito, "Color Universal Design" (2008); the kinds differ in shape as well.
PICK, STRAY, ANNOTATED = "#56B4E9", "#E69F00", "#F0E442"
SLAB = 50.0  # Å averaged in z: less is noise, more smears small particles
RIM = [Stroke(linewidth=3.4, foreground="#101010"), withStroke(foreground="#101010")]


def draw_overlay(
    tomogram: AnnotatedTomogram, picked: Picked, config: TrainConfig, step: int
) -> bytes:
    """Draw three slabs of a tomogram with picks circled and annotated centres marked.

    A pick is a sphere of its class's diameter; it is drawn where it reaches the
    slab's middle plane, a centre where its own sphere does.

    Parameters
    ----------
    tomogram
        Voxels (z, y, x) and centres.
    picked
        In it.
    config
        Of the training.
    step
        That the picks were made at.

    Returns
    -------
    bytes
        A PNG.
    """
    radii = np.array(
        [e.diameter / config.voxel_size / 2 for e in config.classes if e.report]
    )
    true_xyz, true_class = reported(config, tomogram)
    pick_radius = radii[picked.class_id.astype(np.int64) - 1]
    true_radius = radii[true_class - 1]
    hit, found, _ = match(
        picked.xyz.astype(np.float64), true_xyz.astype(np.float64), true_radius
    )
    on_centre = np.zeros(len(picked.xyz), bool)
    on_centre[hit] = True

    depth, height, width = tomogram.voxels.shape
    middles = sorted({depth // 4, depth // 2, 3 * depth // 4})
    tall = 4.3 * height / width
    figure = Figure(
        figsize=(4.3 * len(middles) + 0.3, min(tall, 9) + 1.1),
        dpi=110,
        layout="constrained",
    )
    panels = figure.subplots(1, len(middles), squeeze=False)[0]
    for axes, middle in zip(panels, middles, strict=True):
        _slab(axes, tomogram, middle, config.voxel_size)
        for xyz, radius, hits in zip(picked.xyz, pick_radius, on_centre, strict=True):
            _circle(axes, xyz, float(radius), middle, bool(hits))
        near = np.abs(true_xyz[:, 2] - middle) < true_radius
        axes.plot(
            true_xyz[near, 0],
            true_xyz[near, 1],
            linestyle="none",
            marker="+",
            markersize=7,
            markeredgewidth=1.4,
            color=ANNOTATED,
            path_effects=RIM,
        )
        # What is drawn at the rim shall not make one panel wider than another.
        axes.set(xlim=(-0.5, width - 0.5), ylim=(-0.5, height - 0.5))
    figure.suptitle(
        f"{tomogram.name}, step {step}: {len(picked.xyz)} picks, {len(hit)} of them on "
        f"annotated centres; {len(true_xyz) - len(found)} of {len(true_xyz)} centres "
        "missed",
        fontsize=11,
    )
    stray = "pick elsewhere"
    if not tomogram.fully_annotated:
        stray += " (may be right: not all particles are annotated)"
    figure.legend(
        handles=[
            _handle("o", PICK, "pick on an annotated centre"),
            _handle("o", STRAY, stray, dashed=True),
            _handle("+", ANNOTATED, "annotated centre"),
        ],
        loc="outside lower center",
        ncols=3,
        fontsize=9,
        facecolor="#808080",
        labelcolor="white",
    )
    return png(figure)


def _slab(
    axes: Axes, tomogram: AnnotatedTomogram, middle: int, voxel_size: float
) -> None:
    depth = tomogram.voxels.shape[0]
    many = min(depth, max(1, round(SLAB / voxel_size)))
    first = min(max(0, middle - many // 2), depth - many)
    slab = tomogram.voxels[first : first + many].astype(np.float64)
    plane: npt.NDArray[np.float64] = slab.mean(axis=0)
    low, high = np.percentile(plane, (0.5, 99.5))
    axes.imshow(
        plane, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), origin="lower"
    )
    axes.set_title(f"z = {middle}", fontsize=9)
    axes.set_axis_off()


def _circle(
    axes: Axes,
    xyz: npt.NDArray[np.float32],
    radius: float,
    middle: int,
    hits: bool,
) -> None:
    x, y, z = (float(value) for value in xyz)
    cut = radius**2 - (z - middle) ** 2
    if cut <= (0.4 * radius) ** 2:  # a cap's tip would hide more than it shows
        return
    axes.add_patch(
        Circle(
            (x, y),
            cut**0.5,
            fill=False,
            linewidth=1.4,
            linestyle="-" if hits else (0, (2, 1.5)),
            edgecolor=PICK if hits else STRAY,
            path_effects=RIM if hits else None,
        )
    )


def _handle(mark: str, colour: str, label: str, *, dashed: bool = False) -> Line2D:
    return Line2D(
        [],
        [],
        linestyle="none",
        marker=mark,
        markersize=10,
        markerfacecolor="none",
        markeredgecolor=colour,
        markeredgewidth=1.6,
        label=f"{label} (dashed)" if dashed else label,
    )
