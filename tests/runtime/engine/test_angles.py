import tracemalloc

import numpy as np
import torch
from qiskit.circuit import ParameterVector

from qhybrid_circuits import build_ansatz
from qhybrid_runtime.engine.angles import AngleTable


def test_affine_angles_are_qiskits(rng: np.random.Generator) -> None:
    x = ParameterVector("x", 4)
    expressions = [2 * x[3], x[0] - 0.5 * x[2] + 1, 0.7, x[1] - x[1] + x[0], -x[2] / 3]
    table = AngleTable(expressions, list(x))
    values = rng.uniform(-3, 3, (5, 4))
    expected = [
        [
            float(e.bind({p: row[p.index] for p in e.parameters})) if hasattr(e, "bind") else e
            for e in expressions
        ]
        for row in values
    ]
    np.testing.assert_allclose(table(torch.as_tensor(values)), expected, atol=1e-14)
    assert table.largest_slopes().tolist() == [1, 0, 0.5, 2]
    assert table.largest_slopes(1, 4).tolist() == [1, 0, 0.5, 0]


def test_memory_grows_with_the_number_of_angles_not_with_its_square() -> None:
    x = ParameterVector("x", 4000)
    tracemalloc.start()
    AngleTable(list(x), list(x))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # A matrix of 4,000 angles by as many parameters alone takes 128 MB.
    assert peak < 16e6


def test_checking_many_parameters_takes_no_time_of_its_own() -> None:
    """5,600 weights: comparing each with each takes seconds."""
    import time

    began = time.process_time()
    circuit = build_ansatz("hqconv", channels=3, layers=200)
    assert circuit.num_weights == 5600
    assert time.process_time() - began < 2
