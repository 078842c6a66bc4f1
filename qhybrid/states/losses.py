"""How far density matrices (..., d, d) are apart: each a real tensor (...), differentiable.

Eigenvalues are differentiated, never eigenvectors: those of I/d are arbitrary.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

StateLoss = Callable[[Tensor, Tensor], Tensor]

_NEGLIGIBLE = 1e-13


def fidelity(first: Tensor, second: Tensor) -> Tensor:
    """Return (Tr sqrt(sqrt(rho) sigma sqrt(rho)))**2 (Jo et al. 2026, section 2.2.3).

    Where a state has eigenvalue zero its square root has no derivative in that direction; there the
    gradient is that of the other directions alone, which for a pure state is exact.

    Args:
        first: rho, density matrices (..., d, d).
        second: sigma, of the same shape.

    Example:
        >>> import torch
        >>> from qhybrid.states import density_matrices, fidelity, maximally_mixed
        >>> zero = density_matrices(torch.tensor([1, 0], dtype=torch.complex128))
        >>> round(fidelity(zero, maximally_mixed(1)).item(), 6)
        0.5
    """
    root: Tensor = _SquareRoot.apply(second)
    eigenvalues = torch.linalg.eigvalsh(_hermitian(root @ first @ root))
    positive = eigenvalues > _NEGLIGIBLE
    roots: Tensor = torch.where(positive, eigenvalues, 1.0).sqrt() * positive
    return roots.sum(-1).square()


def infidelity(first: Tensor, second: Tensor) -> Tensor:
    """Return 1 - fidelity; for a pure state psi it is 1 - <psi|rho|psi> (equation 12).

    Args:
        first: rho, density matrices (..., d, d).
        second: sigma, of the same shape.

    Example:
        >>> import torch
        >>> from qhybrid.states import density_matrices, infidelity, maximally_mixed
        >>> zero = density_matrices(torch.tensor([1, 0], dtype=torch.complex128))
        >>> round(infidelity(zero, maximally_mixed(1)).item(), 6)
        0.5
    """
    return 1 - fidelity(first, second)


def trace_distance(first: Tensor, second: Tensor) -> Tensor:
    """Return Tr|rho - sigma| / 2, in [0, 1].

    Args:
        first: rho, density matrices (..., d, d).
        second: sigma, of the same shape.

    Example:
        >>> import torch
        >>> from qhybrid.states import density_matrices, maximally_mixed, trace_distance
        >>> zero = density_matrices(torch.tensor([1, 0], dtype=torch.complex128))
        >>> round(trace_distance(zero, maximally_mixed(1)).item(), 6)
        0.5
    """
    eigenvalues: Tensor = torch.linalg.eigvalsh(_hermitian(first - second))
    return eigenvalues.abs().sum(-1) / 2


def hilbert_schmidt_distance(first: Tensor, second: Tensor) -> Tensor:
    """Return Tr (rho - sigma)**2, in [0, 2]; the square of a norm, so that it is smooth at zero.

    Args:
        first: rho, density matrices (..., d, d).
        second: sigma, of the same shape.

    Example:
        >>> import torch
        >>> from qhybrid.states import density_matrices, hilbert_schmidt_distance, maximally_mixed
        >>> zero = density_matrices(torch.tensor([1, 0], dtype=torch.complex128))
        >>> round(hilbert_schmidt_distance(zero, maximally_mixed(1)).item(), 6)
        0.5
    """
    return (first - second).abs().square().sum((-2, -1))


STATE_LOSSES: Mapping[str, StateLoss] = {
    "fidelity": infidelity,
    "trace": trace_distance,
    "hilbert-schmidt": hilbert_schmidt_distance,
}
"""What is minimized, by the name of the measure."""


def _hermitian(matrices: Tensor) -> Tensor:
    # eigvalsh reads one triangle only, and would hand all of the gradient to it.
    return (matrices + matrices.mH) / 2


class _SquareRoot(torch.autograd.Function):
    """The positive square root S of Hermitian matrices, by the Sylvester equation dA = S dS + dS S.

    torch's derivative of eigenvectors divides by differences of eigenvalues; this one by sums.
    """

    @staticmethod
    def forward(ctx: Any, matrices: Tensor) -> Tensor:
        eigenvalues, vectors = torch.linalg.eigh(matrices)
        roots = eigenvalues.clamp(min=0).sqrt()
        root: Tensor = (vectors * roots[..., None, :]) @ vectors.mH
        ctx.save_for_backward(root)
        return root

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        return _hermitian(_Sylvester.apply(*ctx.saved_tensors, cotangent))


class _Sylvester(torch.autograd.Function):
    """The X of S X + X S = C for positive S, zero where S is; its derivatives are such, too."""

    @staticmethod
    def forward(ctx: Any, root: Tensor, right: Tensor) -> Tensor:
        roots, vectors = torch.linalg.eigh(root)
        sums = roots[..., :, None] + roots[..., None, :]
        known = sums > _NEGLIGIBLE**0.5
        inverse = torch.where(known, 1 / torch.where(known, sums, 1.0), 0.0)
        solution: Tensor = vectors @ ((vectors.mH @ right @ vectors) * inverse) @ vectors.mH
        ctx.save_for_backward(root, solution)
        return solution

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, Tensor]:
        root, solution = ctx.saved_tensors
        by_right: Tensor = _Sylvester.apply(root, cotangent)
        return -(by_right @ solution.mH + solution.mH @ by_right), by_right
