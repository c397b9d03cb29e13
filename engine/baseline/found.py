"""What a baseline found in one tomogram, before thresholds and deduplication."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Local maxima of all classes.

    Attributes
    ----------
    xyz : (n, 3) float32
        x, y, z in voxels of the tomogram.
    class_id : (n,) int32
        From 1.
    significance : (n,) float64
        In standard deviations of what the filter of this class gives: what classes
        are compared by.
    score : (n,) float32
        What the picks' score becomes, in [0, 1].
    passes : (n,) bool
        Whether the threshold is reached.
    """

    xyz: NDArray[np.float32]
    class_id: NDArray[np.int32]
    significance: NDArray[np.float64]
    score: NDArray[np.float32]
    passes: NDArray[np.bool_]

    def only(self, kept: NDArray[np.bool_] | NDArray[np.int64]) -> "Found":
        """Take some, in the order given."""
        return Found(
            self.xyz[kept],
            self.class_id[kept],
            self.significance[kept],
            self.score[kept],
            self.passes[kept],
        )

    @classmethod
    def join(cls, parts: list["Found"]) -> "Found":
        """Put those of all classes together."""
        return cls(
            np.concatenate([one.xyz for one in parts]),
            np.concatenate([one.class_id for one in parts]),
            np.concatenate([one.significance for one in parts]),
            np.concatenate([one.score for one in parts]),
            np.concatenate([one.passes for one in parts]),
        )
