"""What can go wrong while picking, as exceptions with a message for people."""


class DepError(Exception):
    """Base of every error that `dep` raises on purpose.

    The message names the file or setting, what was expected, what was found and
    what to do; it can be shown to a user as it stands.
    """


class TomogramError(DepError):
    """A tomogram that cannot be opened or used."""


class VoxelSizeError(TomogramError):
    """A voxel size that is unknown, or not the one the model was trained at."""


class ModelError(DepError):
    """A model file that cannot be opened or used."""


class CardError(ModelError):
    """A model card that is missing, newer than this software, or inconsistent.

    Attributes
    ----------
    faults : tuple of str
        Everything that is wrong, one line each; empty where there is no card to
        judge.
    """

    def __init__(self, message: str, faults: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.faults = faults


class DeviceError(DepError):
    """A device, runtime or precision that this machine does not offer."""


class SettingError(DepError, ValueError):
    """A setting outside the values that make sense."""


class PicksError(DepError):
    """A coordinate file that cannot be read or written."""


class UseError(PicksError):
    """Coordinates that cannot be read or written as they were asked for.

    Something must be said that no file says, or said otherwise; nothing was written.
    """


class MissingFactError(UseError):
    """A tomogram's shape, voxel or pixel size, which no file says and nobody gave."""


class ReportError(DepError):
    """A folder of picks that no report can be made of."""


class MetricsError(DepError):
    """A file or numbers of a refinement that no metric can be computed from."""


class StoppedError(DepError):
    """The caller asked to stop before everything was picked."""
