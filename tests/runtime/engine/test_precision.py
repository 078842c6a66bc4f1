import numpy as np
import pytest
import torch
from qiskit.quantum_info import Statevector

from qhybrid_circuits.ansatz import hqconv, qattention
from qhybrid_runtime import get_backend, quantum_layer


@pytest.mark.parametrize("build", [lambda: qattention(), lambda: hqconv(channels=4, layers=1)])
@pytest.mark.parametrize("samples", [1, 9])
def test_sums_over_many_amplitudes_keep_their_digits(build, samples, generator) -> None:
    """65,536 of them, in single precision: added one after the other they would be off by 5e-5."""
    variational = build()
    layer = quantum_layer(variational, get_backend("statevector"), generator=generator)
    inputs = torch.randn(samples, variational.num_inputs, generator=generator)
    bound = variational.bind_weights(layer.weight.detach().double().numpy())
    names = dict(zip(variational.inputs, inputs[0].double().tolist(), strict=True))
    state = Statevector(bound.assign_parameters(names))
    expected = [state.expectation_value(each).real for each in variational.observables]
    with torch.no_grad():
        found = layer(inputs)[0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)
