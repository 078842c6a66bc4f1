import numpy as np
import torch
from torch import Tensor

#: Bits per number, as many as a single-precision number has; the largest number is 5.4.
BITS_A_NUMBER = 24


def normal_numbers(bits: np.ndarray) -> Tensor:
    """Return numbers (count,) from the standard normal distribution, of 24 fair bits each.

    A number is the quantile of the normal distribution at (k + 1/2) / 2**24 with k the binary
    number of its bits: all 2**24 strings of bits stand for intervals of equal probability. The
    tails beyond +-5.4, of probability 6e-8, are left out.
    """
    octets = np.packbits(bits.reshape(-1, BITS_A_NUMBER), axis=1)
    words = np.pad(octets, ((0, 0), (1, 0))).view(">u4").astype(np.float64)[:, 0]
    numbers: Tensor = torch.special.ndtri(torch.from_numpy((words + 0.5) / 2**BITS_A_NUMBER))
    return numbers.float()
