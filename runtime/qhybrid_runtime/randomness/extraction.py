import numpy as np

#: Times that the procedure is applied, each time to the remainder of the time before. Of fair bits
#: it yields the share 1 - (3/4)**ROUNDS; more rounds cost more time than their few bits are worth.
ROUNDS = 6

#: The procedure's yield of long sequences of nearly fair bits.
YIELD = 1 - 0.75**ROUNDS


def unbiased_bits(reads: np.ndarray) -> np.ndarray:
    """Return fair bits, uint8, from readings (shots, n_qubits) of qubits that are not fair.

    Of two shots of one qubit that differ, both orders are equally likely whatever the qubit's bias
    is, so the first of them is a fair bit (von Neumann 1951). The remainder (whether pairs differ,
    and the value of equal pairs) has a bias too, and is treated in the same way (Peres 1992). The
    bits are exactly fair as long as a qubit's shots are independent and equally biased; no
    correlation between shots or between qubits is removed. They come qubit after qubit.
    """
    parts = [_extracted(column, ROUNDS) for column in np.ascontiguousarray(reads.T)]
    return np.concatenate([np.empty(0, np.uint8), *parts])


def _extracted(bits: np.ndarray, rounds: int) -> np.ndarray:
    first, second = bits[: len(bits) // 2 * 2].reshape(-1, 2).T
    if not rounds or not len(first):
        return np.empty(0, np.uint8)
    differ = first != second
    remainder = (differ.astype(np.uint8), first[~differ])
    return np.concatenate([first[differ], *(_extracted(part, rounds - 1) for part in remainder)])
