"""Density matrices: complex128 tensors (..., d, d), d = 2**n_qubits, qubit 0 least significant."""

import torch
from torch import Tensor

from qhybrid_circuits.errors import NotFiniteError, RequestError, ShapeError

MOST_QUBITS = 4
"""Channels of more qubits as dense matrices are slow, and no longer what a laptop should do."""

_TOLERANCE = 1e-6


def maximally_mixed(num_qubits: int) -> Tensor:
    """Return I/d, shape (d, d).

    Args:
        num_qubits: 1 to 4.

    Raises:
        RequestError: Not 1 to 4 qubits.

    Example:
        >>> from qhybrid.states import maximally_mixed
        >>> maximally_mixed(1).real.tolist()
        [[0.5, 0.0], [0.0, 0.5]]
    """
    dimension = 1 << check_num_qubits(num_qubits)
    return torch.eye(dimension, dtype=torch.complex128) / dimension


def random_states(num_qubits: int, count: int, generator: torch.Generator) -> Tensor:
    """Draw state vectors (count, d) from the Haar measure; they average to I/d.

    Args:
        num_qubits: 1 to 4.
        count: How many.
        generator: Draws them.

    Raises:
        RequestError: Not 1 to 4 qubits, or a negative count.

    Example:
        >>> import torch
        >>> from qhybrid.states import random_states
        >>> random_states(2, 5, torch.Generator().manual_seed(0)).shape
        torch.Size([5, 4])
    """
    dimension = 1 << check_num_qubits(num_qubits)
    return _normalized(_gaussian(count, dimension, generator))


def state_cluster(target: Tensor, spread: float, count: int, generator: torch.Generator) -> Tensor:
    """Draw state vectors (count, d) around a target.

    A state is the target plus complex Gaussian noise of total variance spread**2, normalized: for a
    small spread its mean fidelity with the target is 1 - spread**2 (d - 1) / d.

    Args:
        target: The centre, a state vector (d,).
        spread: 0 gives the target itself; large values give Haar-random states.
        count: How many.
        generator: Draws the noise.

    Raises:
        ShapeError: The target is no state vector of 1 to 4 qubits.
        RequestError: A negative spread or count.

    Example:
        >>> import torch
        >>> from qhybrid.states import state_cluster
        >>> target = torch.tensor([1, 0], dtype=torch.complex128)
        >>> state_cluster(target, 0.1, 5, torch.Generator().manual_seed(0)).shape
        torch.Size([5, 2])
    """
    dimension = target.shape[-1] if target.dim() == 1 else 0
    if dimension not in [1 << n for n in range(1, MOST_QUBITS + 1)]:
        raise ShapeError(
            f"Argument `target` must be a state vector of 2, 4, 8 or 16 amplitudes, but has shape "
            f"{tuple(target.shape)}"
        )
    if not spread >= 0:
        raise RequestError(f"Argument `spread` must be at least 0, but is {spread}")
    centre = target.to(torch.complex128)
    noise = _gaussian(count, dimension, generator) / dimension**0.5
    return _normalized(centre / centre.norm() + spread * noise)


def density_matrices(vectors: Tensor) -> Tensor:
    """Return |psi><psi| (..., d, d) of state vectors (..., d), normalized first.

    Args:
        vectors: Complex, of any norm but 0.

    Raises:
        RequestError: A vector is zero.
        NotFiniteError: A vector is not finite.

    Example:
        >>> import torch
        >>> from qhybrid.states import density_matrices
        >>> zero = density_matrices(torch.tensor([1, 0], dtype=torch.complex128))
        >>> zero.real.tolist()
        [[1.0, 0.0], [0.0, 0.0]]
    """
    states = vectors.to(torch.complex128)
    if not bool(torch.isfinite(torch.view_as_real(states)).all()):
        raise NotFiniteError("Argument `vectors` must be finite, but holds NaN or infinity")
    if not bool(states.norm(dim=-1).all()):
        raise RequestError("Argument `vectors` must hold no zero vector: it is no quantum state")
    unit = _normalized(states)
    return unit[..., :, None] * unit[..., None, :].conj()


def check_density_matrices(name: str, states: Tensor) -> int:
    """Return the number of qubits of density matrices (..., d, d).

    Raises:
        ShapeError: They are no square matrices of 1 to 4 qubits.
        NotFiniteError: They are not finite.
        RequestError: One is not Hermitian, not of trace one, or not positive.
    """
    dimension = states.shape[-1] if states.dim() >= 2 else 0
    sizes = [1 << n for n in range(1, MOST_QUBITS + 1)]
    if dimension not in sizes or states.shape[-2] != dimension:
        raise ShapeError(
            f"Argument `{name}` must be density matrices (..., d, d) with d = 2, 4, 8 or 16, but "
            f"has shape {tuple(states.shape)}"
        )
    held = states.detach().to(torch.complex128)
    if not bool(torch.isfinite(torch.view_as_real(held)).all()):
        raise NotFiniteError(f"Argument `{name}` must be finite, but holds NaN or infinity")
    traces = held.diagonal(dim1=-2, dim2=-1).sum(-1)
    wrong = {
        "Hermitian": bool((held - held.mH).abs().gt(_TOLERANCE).any()),
        "of trace one": bool((traces - 1).abs().gt(_TOLERANCE).any()),
        "positive": bool(torch.linalg.eigvalsh(held).lt(-_TOLERANCE).any()),
    }
    for property_name, violated in wrong.items():
        if violated:
            raise RequestError(
                f"Argument `{name}` must be density matrices, but one is not {property_name}"
            )
    return dimension.bit_length() - 1


def check_num_qubits(num_qubits: int) -> int:
    """Return the number.

    Raises:
        RequestError: It is not 1 to 4.
    """
    if not 1 <= num_qubits <= MOST_QUBITS:
        raise RequestError(
            f"Diffusion of quantum states takes 1 to {MOST_QUBITS} qubits, but was given "
            f"{num_qubits}"
        )
    return num_qubits


def _gaussian(count: int, dimension: int, generator: torch.Generator) -> Tensor:
    if count < 0:
        raise RequestError(f"Argument `count` must be at least 0, but is {count}")
    return torch.randn(count, dimension, dtype=torch.complex128, generator=generator)


def _normalized(vectors: Tensor) -> Tensor:
    unit: Tensor = vectors / vectors.norm(dim=-1, keepdim=True)
    return unit
