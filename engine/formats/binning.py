"""How files count that say the size of their pixels: in voxels, or binned otherwise.

Not every such size can be believed: some programs write 1 Å for want of another.
"""

from dataclasses import replace

from dep.engine.formats.frame import VOXELS, Counting, Frame

# Two sizes of the same pixels may differ by so much: a magnification that was
# calibrated later. Binnings differ by more.
CALIBRATION = 1.1
UNSET = 1.0  # Å, what programs write for an image without a pixel size


def counting(pixel_size: float | None, frame: Frame) -> Counting:
    """Say how coordinates count that a file calls pixels of `pixel_size` Å.

    They are voxels of the tomogram, unless its voxel size is known and so different
    that it must be binned otherwise.
    """
    if pixel_size is None or frame.voxel_size is None or pixel_size == UNSET:
        return VOXELS
    ratio = frame.voxel_size / pixel_size
    if 1 / CALIBRATION < ratio < CALIBRATION:
        return VOXELS
    return Counting(pixel_size=pixel_size)


def fitting(own: Frame, frame: Frame) -> Frame:
    """Take what a file says of its tomogram, for one of the voxel size in `frame`.

    The size in voxels is of no use where that is another one.
    """
    if counting(own.voxel_size, frame) == VOXELS:
        return own
    return replace(own, shape=None)
