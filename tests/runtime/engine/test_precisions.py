import pytest
import torch

from qhybrid_circuits.ansatz import hqconv
from qhybrid_runtime.engine.expectations import expectations
from qhybrid_runtime.engine.program import compile_program


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
