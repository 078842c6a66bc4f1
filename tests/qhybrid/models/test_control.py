import math

import pytest
import torch

from qhybrid.models.control import ControlLayer
from qhybrid.models.row import CONTROL
from qhybrid.models.rows import HYBRIDS_WITH_CONTROL, MODEL_NAMES, MODELS
from qhybrid.models.spec import ModelSpec
from qhybrid.models.zoo import build_model
from qhybrid_circuits.ansatz import build_ansatz
from qhybrid_circuits.errors import ShapeError
from qhybrid_runtime import QuantumLayer, get_backend, quantum_layer
from tests.selection import thorough

CIRCUITS = {
    "hqconv": build_ansatz("hqconv"),
    "fqconv": build_ansatz("fqconv"),
    "one layer": build_ansatz("hqconv", layers=1),
    "two maps": build_ansatz("hqconv", channels=1, layers=3),
    "three maps": build_ansatz("fqconv", channels=1, layers=5),
    "full": build_ansatz("basic_entangling"),
}


@pytest.mark.parametrize("name", CIRCUITS)
def test_as_many_weights_inputs_and_outputs_as_the_circuit(
    name: str, generator: torch.Generator
) -> None:
    circuit = CIRCUITS[name]
    control = ControlLayer(circuit, generator=generator)
    assert [tuple(p.shape) for p in control.parameters()] == [(circuit.num_weights,)]
    out = control(torch.randn(2, 3, circuit.num_inputs, generator=generator))
    assert out.shape == (2, 3, circuit.num_outputs)
    assert out.abs().max() <= 1


@pytest.mark.parametrize("name", ["hqconv", "fqconv"])
def test_where_control_and_circuit_agree(name: str, generator: torch.Generator) -> None:
    """Both give 1 for x = 0, whatever the weights, and cos(x) where all weights are 0."""
    circuit = CIRCUITS[name]
    control = ControlLayer(circuit, generator=generator)
    quantum = quantum_layer(circuit, get_backend("statevector"), generator=generator)
    zero = torch.zeros(1, circuit.num_inputs)
    torch.testing.assert_close(control(zero), quantum(zero), atol=1e-5, rtol=0)
    x = torch.randn(4, circuit.num_inputs, generator=generator)
    assert (control(x) - quantum(x)).abs().max() > 0.1
    for layer in (control, quantum):
        layer.weight.data.zero_()
        torch.testing.assert_close(layer(x), torch.cos(x), atol=1e-5, rtol=0)


def test_weights_fill_the_diagonals_in_turn() -> None:
    control = ControlLayer(build_ansatz("hqconv", channels=1, layers=1)).double()
    control.weight.data = torch.arange(1.0, 9.0, dtype=torch.float64)
    x = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    expected = [
        math.cos(0.1 + 1 * 0.1 + 5 * 0.2),
        math.cos(0.2 + 2 * 0.2 + 6 * 0.3),
        math.cos(0.3 + 3 * 0.3 + 7 * 0.4),
        math.cos(0.4 + 4 * 0.4 + 8 * 0.1),
    ]
    assert control(x).tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", CIRCUITS)
def test_every_weight_acts_and_gradients_are_exact(name: str, generator: torch.Generator) -> None:
    control = ControlLayer(CIRCUITS[name], generator=generator).double()
    shape = (2, control.num_inputs)
    x = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)

    def outputs(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(control, {"weight": weight}, (x,))

    assert torch.autograd.gradcheck(outputs, (x, control.weight))
    direction = torch.randn(shape, generator=generator, dtype=torch.float64)
    (outputs(x, control.weight) * direction).sum().backward()
    assert control.weight.grad.abs().min() > 1e-9


def test_another_number_of_inputs_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"shape \(\.\.\., 12\), but have shape \(2, 11\)"):
        ControlLayer(CIRCUITS["hqconv"])(torch.zeros(2, 11))


def test_only_hybrids_have_controls_and_controls_hold_no_circuit() -> None:
    hybrids = [
        name
        for name in MODEL_NAMES
        if any(isinstance(m, QuantumLayer) for m in build_model(ModelSpec(name, 8)).modules())
    ]
    assert set(HYBRIDS_WITH_CONTROL) <= set(hybrids)
    assert not [name for name in hybrids if name.endswith(CONTROL)]


@pytest.mark.parametrize("variant", [0, *thorough([-1])])
@pytest.mark.parametrize("name", HYBRIDS_WITH_CONTROL)
def test_a_control_is_its_hybrid_but_for_the_circuits(name: str, variant: int) -> None:
    """Same tensors, same initial weights from one seed, and no circuit."""
    hybrid, control = (
        build_model(
            ModelSpec(each, 8, ansatz_layers=2, variant=MODELS[name].variants[variant]),
            generator=torch.Generator().manual_seed(3),
        )
        for each in (name, name + CONTROL)
    )
    theirs, ours = hybrid.state_dict(), control.state_dict()
    assert list(theirs) == list(ours)
    assert all(torch.equal(theirs[key], ours[key]) for key in theirs)
    assert not any(isinstance(module, QuantumLayer) for module in control.modules())
    controls = {n for n, m in control.named_modules() if isinstance(m, ControlLayer)}
    assert controls == {n for n, m in hybrid.named_modules() if isinstance(m, QuantumLayer)}
    shape = ModelSpec(name, 8).input_shape
    images = torch.randn(2, *shape, generator=torch.Generator().manual_seed(4))
    times = torch.tensor([5, 9 if MODELS[name].conditions else 900])
    with torch.no_grad():
        assert not torch.allclose(hybrid(images, times), control(images, times))
