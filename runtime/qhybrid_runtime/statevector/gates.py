"""Matrices of Qiskit's parameterized gates as torch functions of their angles.

Every function takes angles of shape (..., k) in radians and returns (..., d, d) of the matching
complex type. As in Qiskit, a gate's first qubit is the least significant bit of a row index.
Gates without parameters need none of this: Qiskit itself gives their matrix.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

MatrixFunction = Callable[[Tensor], Tensor]


def _matrix(rows: Sequence[Sequence[Tensor]]) -> Tensor:
    return torch.stack([torch.stack(list(row), dim=-1) for row in rows], dim=-2)


def _phase(angle: Tensor) -> Tensor:
    return torch.polar(torch.ones_like(angle), angle)


def _complex(real: Tensor) -> Tensor:
    return torch.complex(real, torch.zeros_like(real))


def _half(angle: Tensor) -> tuple[Tensor, Tensor]:
    """Return cos(angle/2) and sin(angle/2) as complex numbers."""
    return _complex(torch.cos(angle / 2)), _complex(torch.sin(angle / 2))


def p(angles: Tensor) -> Tensor:
    turn = _phase(angles[..., 0])
    zero = torch.zeros_like(turn)
    return _matrix([[torch.ones_like(turn), zero], [zero, turn]])


def rx(angles: Tensor) -> Tensor:
    cos, sin = _half(angles[..., 0])
    return _matrix([[cos, -1j * sin], [-1j * sin, cos]])


def ry(angles: Tensor) -> Tensor:
    cos, sin = _half(angles[..., 0])
    return _matrix([[cos, -sin], [sin, cos]])


def rz(angles: Tensor) -> Tensor:
    turn = _phase(angles[..., 0] / 2)
    zero = torch.zeros_like(turn)
    return _matrix([[turn.conj(), zero], [zero, turn]])


def r(angles: Tensor) -> Tensor:
    theta, phi = angles.unbind(-1)
    cos, sin = _half(theta)
    turn = _phase(phi)
    return _matrix([[cos, -1j * turn.conj() * sin], [-1j * turn * sin, cos]])


def u(angles: Tensor) -> Tensor:
    theta, phi, lam = angles.unbind(-1)
    cos, sin = _half(theta)
    return _matrix(
        [[cos, -_phase(lam) * sin], [_phase(phi) * sin, _phase(phi) * _phase(lam) * cos]]
    )


def u2(angles: Tensor) -> Tensor:
    phi, lam = angles.unbind(-1)
    return u(torch.stack([torch.full_like(phi, torch.pi / 2), phi, lam], dim=-1))


def cu(angles: Tensor) -> Tensor:
    """U with a phase of its own: the part of a CU gate that acts where the control is set."""
    return _phase(angles[..., 3])[..., None, None] * u(angles[..., :3])


def global_phase(angles: Tensor) -> Tensor:
    return _phase(angles[..., 0])[..., None, None]


def rxx(angles: Tensor) -> Tensor:
    cos, sin = _half(angles[..., 0])
    zero, off = torch.zeros_like(cos), -1j * sin
    return _matrix(
        [
            [cos, zero, zero, off],
            [zero, cos, off, zero],
            [zero, off, cos, zero],
            [off, zero, zero, cos],
        ]
    )


def ryy(angles: Tensor) -> Tensor:
    cos, sin = _half(angles[..., 0])
    zero, off = torch.zeros_like(cos), 1j * sin
    return _matrix(
        [
            [cos, zero, zero, off],
            [zero, cos, -off, zero],
            [zero, -off, cos, zero],
            [off, zero, zero, cos],
        ]
    )


def rzz(angles: Tensor) -> Tensor:
    turn = _phase(angles[..., 0] / 2)
    return torch.diag_embed(torch.stack([turn.conj(), turn, turn, turn.conj()], dim=-1))


def rzx(angles: Tensor) -> Tensor:
    cos, sin = _half(angles[..., 0])
    zero, off = torch.zeros_like(cos), 1j * sin
    return _matrix(
        [
            [cos, zero, -off, zero],
            [zero, cos, zero, off],
            [-off, zero, cos, zero],
            [zero, off, zero, cos],
        ]
    )


def xx_plus_yy(angles: Tensor) -> Tensor:
    cos, sin = _half(angles[..., 0])
    turn = _phase(angles[..., 1])
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    return _matrix(
        [
            [one, zero, zero, zero],
            [zero, cos, -1j * turn.conj() * sin, zero],
            [zero, -1j * turn * sin, cos, zero],
            [zero, zero, zero, one],
        ]
    )


def xx_minus_yy(angles: Tensor) -> Tensor:
    cos, sin = _half(angles[..., 0])
    turn = _phase(angles[..., 1])
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    return _matrix(
        [
            [cos, zero, zero, -1j * turn.conj() * sin],
            [zero, one, zero, zero],
            [zero, zero, one, zero],
            [-1j * turn * sin, zero, zero, cos],
        ]
    )


#: Qiskit gate name -> its matrix as a function of its angles.
MATRICES: dict[str, MatrixFunction] = {
    "global_phase": global_phase,
    "p": p,
    "r": r,
    "rx": rx,
    "rxx": rxx,
    "ry": ry,
    "ryy": ryy,
    "rz": rz,
    "rzx": rzx,
    "rzz": rzz,
    "u": u,
    "u1": p,
    "u2": u2,
    "u3": u,
    "xx_minus_yy": xx_minus_yy,
    "xx_plus_yy": xx_plus_yy,
}

#: Formula name -> what acts on a gate's targets.
FORMULAS: dict[str, MatrixFunction] = {**MATRICES, "cu": cu}


def controlled(matrix: Tensor, num_controls: int, control_state: int) -> Tensor:
    """Return the matrix that acts where the controls hold `control_state`, and else does nothing.

    Args:
        matrix: The controlled gate's, shape (..., d, d).
        num_controls: Control qubits; they come first, as the least significant bits.
        control_state: The controls' value in which the gate acts.

    Returns:
        Shape (..., d * 2**num_controls, d * 2**num_controls).
    """
    if num_controls == 0:
        return matrix
    small = matrix.shape[-1]
    size = small << num_controls
    place = torch.zeros(size, small, dtype=matrix.dtype, device=matrix.device)
    rows = (torch.arange(small) << num_controls) | control_state
    place[rows.to(matrix.device), torch.arange(small, device=matrix.device)] = 1
    idle = torch.eye(size, dtype=matrix.dtype, device=matrix.device) - place @ place.mT
    return idle + place @ matrix @ place.mT
