import numpy as np
import torch
from torch import Tensor

#: Bits of a number. As many as a single-precision number has: the largest is 5.4.
BITS_A_NUMBER = 24


def normal_numbers(bits: np.ndarray) -> Tensor:
    """Return numbers from the standard normal distribution, 24 fair bits each.

    A number is the quantile of the normal distribution at (k + 1/2) / 2**24, k the number that the
    bits spell: all 2**24 strings of bits mean intervals of equal probability. What lies beyond
    +-5.4 in a tail, probability 6e-8, is left out.

    Args:
        bits: 0 or 1, shape (24 * count,).

    Returns:
        float32 (count,).
    """
    octets = np.packbits(bits.reshape(-1, BITS_A_NUMBER), axis=1)
    words = np.pad(octets, ((0, 0), (1, 0))).view(">u4").astype(np.float64)[:, 0]
    uniform = torch.from_numpy((words + 0.5) / 2**BITS_A_NUMBER)
    numbers: Tensor = torch.special.ndtri(uniform)
    return numbers.float()
