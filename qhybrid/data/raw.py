"""What every reader returns, whatever the source was."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class RawImages:
    """Images as they lie on disk, before classes are chosen and sizes are changed.

    Attributes:
        images: uint8 (N, H, W, C), C = 1 or 3.
        labels: int64 (N,), the source's own label ids.
        class_names: Label id -> name, for every class of the source.
        source: The dataset's name or path, for messages.
        notes: A line on each conversion that the reader made.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_names: dict[int, str]
    source: str
    notes: tuple[str, ...] = ()
