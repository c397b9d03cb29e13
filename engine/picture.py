"""Draw a tomogram's slices for people to look at: with its picks circled, or alone."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dep.engine import slices
from dep.engine.slices import COLOURS, LINES

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL import Image, ImageDraw, ImageFont

    from dep.engine.picks import Picks
    from dep.engine.volume import Volume

__all__ = ["draw_picture", "encoded"]

SUPERSAMPLING = 2  # Pillow's lines are not smoothed: draw twice as large, then shrink
PANEL = 620  # pixels, longest edge of a panel
GAP = 20
INK = "#1b1f24"
SOFT_INK = "#5b6570"


@dataclass(frozen=True)
class _Canvas:
    """One picture in the making; all lengths given to it are in final pixels."""

    image: Image.Image
    draw: ImageDraw.ImageDraw

    def text(
        self,
        x: float,
        y: float,
        words: str,
        size: int,
        fill: str = INK,
        anchor: str = "la",
    ) -> float:
        """Write words and return their width in final pixels."""
        face = _font(size * SUPERSAMPLING)
        at = (x * SUPERSAMPLING, y * SUPERSAMPLING)
        self.draw.text(at, words, fill=fill, font=face, anchor=anchor)
        return float(self.draw.textlength(words, font=face)) / SUPERSAMPLING

    def circle(self, x: float, y: float, radius: float, class_index: int) -> None:
        """Circle a place in a class's colour and line, with a dark rim to stand out."""
        scale = SUPERSAMPLING
        colour = COLOURS[class_index % len(COLOURS)]
        on, off = LINES[class_index // len(COLOURS) % len(LINES)]
        for width, fill, grow in ((4.6, "#101010", 1.0), (2.4, colour, 0.0)):
            reach = (radius + grow) * scale
            box = (
                x * scale - reach,
                y * scale - reach,
                x * scale + reach,
                y * scale + reach,
            )
            for start in range(0, 360, on + off):
                self.draw.arc(
                    box, start, start + on, fill=fill, width=round(width * scale)
                )


def draw_picture(volume: Volume, picks: Picks, path: Path) -> None:
    """Draw up to three slabs of a tomogram with the picks that they cut.

    A pick is a sphere of its class's diameter and appears as that sphere's cut with
    the slab's middle plane. Only the planes of the slabs are read, one at a time.

    Parameters
    ----------
    volume
        The open tomogram, axes (z, y, x), voxel size in Å.
    picks
        Its picks, coordinates in voxels of `volume`.
    path
        The PNG to write; it appears whole or not at all.

    Raises
    ------
    ModuleNotFoundError
        When Pillow is not installed; the message says how to install it.
    OSError
        When `path` cannot be written; names it.
    """
    try:
        from PIL import Image, ImageDraw
    except ModuleNotFoundError as error:
        raise _no_pillow() from error

    depth, height, width = volume.shape
    scale = PANEL / max(height, width)  # pixels a voxel
    panel_w, panel_h = max(1, round(width * scale)), max(1, round(height * scale))
    middles = slices.middles(depth)
    sheet_w = max(len(middles) * (panel_w + GAP) + GAP, 2 * PANEL)
    top = 84
    columns = max(1, (sheet_w - 2 * GAP) // 240)
    rows = math.ceil(len(picks.classes) / columns)
    sheet_h = top + panel_h + 46 + 34 * rows + 8

    size = (sheet_w * SUPERSAMPLING, sheet_h * SUPERSAMPLING)
    image = Image.new("RGB", size, "white")
    canvas = _Canvas(image, ImageDraw.Draw(image))
    _title(canvas, volume, picks)
    for index, middle in enumerate(middles):
        left = GAP + index * (panel_w + GAP)
        panel = Image.new("RGB", (panel_w * SUPERSAMPLING, panel_h * SUPERSAMPLING))
        grey = Image.fromarray(slices.grey(slices.slab(volume, middle)))
        panel.paste(grey.resize(panel.size, Image.Resampling.BICUBIC))
        inside = _Canvas(panel, ImageDraw.Draw(panel))
        _circles(inside, picks, middle, volume.voxel_size, scale, height)
        _tag(inside, f"z = {middle}")
        if index == 0:
            _scale_bar(inside, volume.voxel_size, scale, panel_w, panel_h)
        image.paste(panel, (left * SUPERSAMPLING, top * SUPERSAMPLING))
    _legend(canvas, picks, columns, sheet_w, top + panel_h + 22)
    planes = len(slices.planes(middles[0], depth, volume.voxel_size))
    note = f"x right, y up; each panel is the mean of {planes} planes"
    canvas.text(sheet_w - GAP, 50, note, 15, SOFT_INK, "ra")

    small = image.resize((sheet_w, sheet_h), Image.Resampling.LANCZOS)
    _save(small, path)


def encoded(plane: NDArray[np.float32], edge: int, quality: int) -> tuple[bytes, str]:
    """Encode one plane as a grey picture without any drawing.

    Parameters
    ----------
    plane
        Values (y, x), the first row on top.
    edge
        Longest edge of the picture, pixels; a smaller plane keeps its own size.
    quality
        1 to 95.

    Returns
    -------
    (bytes, str)
        WebP, or JPEG where Pillow was built without it, and its media type. WebP of the
        same bytes is half as wrong on noise (root mean square 3.7 against 7.2 of 255).

    Raises
    ------
    ModuleNotFoundError
        When Pillow is not installed; the message says how to install it.
    """
    try:
        from PIL import Image, features
    except ModuleNotFoundError as error:
        raise _no_pillow() from error

    height, width = plane.shape
    shrink = min(1.0, edge / max(height, width))
    if shrink < 1:
        # Before the grey: the mean of several voxels is less noisy than they are.
        size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
        image = Image.fromarray(np.ascontiguousarray(plane, np.float32))
        plane = np.asarray(image.resize(size, Image.Resampling.BOX))
    kind = "webp" if features.check("webp") else "jpeg"
    stream = io.BytesIO()
    Image.fromarray(slices.grey(plane)).save(stream, format=kind, quality=quality)
    return stream.getvalue(), f"image/{kind}"


def _no_pillow() -> ModuleNotFoundError:
    message = (
        "a picture needs Pillow, which is not installed: pip install 'dep[picture]'"
    )
    return ModuleNotFoundError(message, name="PIL")


def _circles(
    canvas: _Canvas,
    picks: Picks,
    middle: int,
    voxel_size: float,
    scale: float,
    height: int,
) -> None:
    """Circle the picks whose sphere the plane `middle` cuts, the best on top."""
    order = np.argsort(picks.score, kind="stable")
    for index in order:
        x, y, z = (float(value) for value in picks.xyz[index])
        class_index = int(picks.class_id[index]) - 1
        diameter = picks.classes[class_index].diameter or slices.UNKNOWN_DIAMETER
        radius = diameter / voxel_size / 2
        cut = radius**2 - (z - middle) ** 2
        if cut <= (0.4 * radius) ** 2:  # a cap's tip would hide more than it shows
            continue
        canvas.circle(
            (x + 0.5) * scale,
            (height - y - 0.5) * scale,
            math.sqrt(cut) * scale,
            class_index,
        )


def _tag(canvas: _Canvas, words: str) -> None:
    """Write a panel's name in its upper left corner."""
    width = (
        canvas.draw.textlength(words, font=_font(17 * SUPERSAMPLING)) / SUPERSAMPLING
    )
    box = [SUPERSAMPLING * value for value in (8, 8, 8 + width + 16, 36)]
    canvas.draw.rounded_rectangle(box, radius=5 * SUPERSAMPLING, fill="#101010")
    canvas.text(16, 22, words, 17, "white", "lm")


def _scale_bar(
    canvas: _Canvas, voxel_size: float, scale: float, panel_w: int, panel_h: int
) -> None:
    """Draw a bar of a round number of nanometres, at most a third of the panel wide."""
    nm_per_pixel = voxel_size / 10 / scale
    length = slices.round_length(panel_w / 3 * nm_per_pixel)
    pixels = length / nm_per_pixel
    box = [SUPERSAMPLING * v for v in (8, panel_h - 52, 8 + pixels + 24, panel_h - 8)]
    canvas.draw.rounded_rectangle(box, radius=5 * SUPERSAMPLING, fill="#101010")
    bar = [SUPERSAMPLING * v for v in (20, panel_h - 20, 20 + pixels, panel_h - 15)]
    canvas.draw.rectangle(bar, fill="white")
    canvas.text(20 + pixels / 2, panel_h - 35, f"{length:g} nm", 17, "white", "mm")


def _title(canvas: _Canvas, volume: Volume, picks: Picks) -> None:
    """Write whose picks these are, and of what."""
    depth, height, width = volume.shape
    name = canvas.text(GAP, 16, picks.tomogram, 28)
    many = len(picks.xyz)
    noun = "particle" if many == 1 else "particles"
    canvas.text(GAP + name + 16, 22, f"{many} {noun}", 22, SOFT_INK)
    facts = f"{width} x {height} x {depth} voxels of {volume.voxel_size / 10:.4g} nm"
    canvas.text(GAP, 50, facts, 15, SOFT_INK)


def _legend(
    canvas: _Canvas, picks: Picks, columns: int, sheet_w: int, top: int
) -> None:
    """Name every class beside its circle, with its picks in the whole tomogram."""
    counts = picks.counts()
    column_w = (sheet_w - 2 * GAP) / columns
    for index, info in enumerate(picks.classes):
        x = GAP + (index % columns) * column_w
        y = top + 14 + 34 * (index // columns)
        canvas.circle(x + 12, y, 10, index)
        width = canvas.text(x + 34, y, info.name, 18, INK, "lm")
        size = f"  ({info.diameter / 10:.3g} nm)" if info.diameter else ""
        words = f"{counts[info.name]}{size}"
        canvas.text(x + 34 + width + 10, y, words, 16, SOFT_INK, "lm")


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own typeface, so that no system font is needed."""
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _save(image: Image.Image, path: Path) -> None:
    """Write the PNG beside its place, then move it there."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        image.save(partial, format="PNG")
        partial.replace(path)
    except OSError as error:
        message = f"{path}: cannot be written ({error.strerror or error})"
        raise OSError(message) from error
    finally:
        partial.unlink(missing_ok=True)
