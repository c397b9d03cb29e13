"""Bring a tomogram to the voxel size that a model was trained at, or refuse it."""

from dep.engine.card import ModelCard
from dep.engine.errors import VoxelSizeError
from dep.engine.resample import ResampledVolume
from dep.engine.volume import Volume

VOXEL_SIZE_TOLERANCE = 0.05
# Voxel sizes of a tomogram over the model's that may be meant: from unbinned ones of
# 0.5 Å to ones that hold nothing of a particle any more. Beyond, a unit is wrong.
RESCALABLE = (1 / 25, 10.0)


def fit_voxel_size(
    volume: Volume, card: ModelCard, *, rescale: bool, ignore: bool
) -> tuple[Volume | ResampledVolume, tuple[str, ...]]:
    """Bring a tomogram to the card's voxel size, or refuse it.

    Returns
    -------
    (source, warnings)
        The tomogram itself, or resampled.

    Raises
    ------
    VoxelSizeError
        The voxel sizes differ by more than 5 % and neither `rescale` nor `ignore`, or
        by more than can be resampled.
    """
    found, wanted = volume.voxel_size, card.voxel_size
    label = volume.label
    least, most = (wanted * factor for factor in RESCALABLE)
    if rescale and not least <= found <= most:
        message = (
            f"{label}: a voxel size of {found:g} Å cannot be resampled to the model's "
            f"{wanted:g} Å. Expected {least:g} to {most:g} Å: is the unit right? Give "
            "the voxel size in ångström with --voxel-size."
        )
        raise VoxelSizeError(message)
    if rescale and found != wanted:
        warnings: tuple[str, ...] = ()
        if found > wanted * (1 + VOXEL_SIZE_TOLERANCE):
            warnings = (
                f"{label}: voxels of {found:g} Å are coarser than the model's "
                f"{wanted:g} Å; resampling cannot restore what they do not hold",
            )
        return ResampledVolume(volume, wanted), warnings
    if abs(found / wanted - 1) <= VOXEL_SIZE_TOLERANCE:
        return volume, ()
    if ignore:
        return volume, (
            f"{label}: picked at voxels of {found:g} Å with a model for "
            f"{wanted:g} Å, as asked",
        )
    message = (
        f"{label}: the voxel size is {found:g} Å, the model {card.name!r} was trained "
        f"at {wanted:g} Å. Give --rescale to resample the tomogram while reading, "
        "--voxel-size if the header is wrong, or --ignore-voxel-size to pick anyway."
    )
    raise VoxelSizeError(message)
