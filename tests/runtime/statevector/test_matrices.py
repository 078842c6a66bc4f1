import pytest
import torch

from qhybrid_circuits.ansatz import hqconv
from qhybrid_runtime.statevector import compile_program, expectations, matrices


def test_sampling_reuses_matrices_until_a_weight_changes(monkeypatch, generator) -> None:
    built = []
    formulas = {
        name: lambda angles, formula=formula: built.append(angles.shape) or formula(angles)
        for name, formula in matrices.FORMULAS.items()
    }
    monkeypatch.setattr(matrices, "FORMULAS", formulas)
    variational = hqconv(channels=1, layers=1)
    program = compile_program(variational)
    inputs = torch.randn(3, 4, generator=generator)
    weights = torch.rand(8, generator=generator)

    def values() -> tuple[torch.Tensor, int]:
        built.clear()
        result = expectations(program, variational.observables, inputs, weights)
        return result, len(built)

    with torch.no_grad():
        first, count = values()
        again, fewer = values()
        assert (count, fewer) == (3, 1)  # CRZ, CRX and the encoding's RX; then the encoding alone
        assert torch.equal(first, again)
        weights[3] += 0.5
        changed, count = values()
        assert count == 3
        assert not torch.allclose(changed, first)
    with torch.enable_grad():
        weights.requires_grad_()
        differentiable, count = values()
        assert count == 3
        torch.testing.assert_close(differentiable, changed)
        differentiable.sum().backward()
    assert weights.grad is not None
    with torch.no_grad():
        torch.testing.assert_close(values()[0], changed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_precisions_do_not_mix(dtype: torch.dtype, generator) -> None:
    variational = hqconv(channels=1, layers=1)
    program = compile_program(variational)
    with torch.no_grad():
        for precision in (torch.float64, torch.float32, dtype):
            values = expectations(
                program,
                variational.observables,
                torch.zeros(2, 4, dtype=precision),
                torch.full((8,), 0.25, dtype=precision),
            )
            assert values.dtype == precision
