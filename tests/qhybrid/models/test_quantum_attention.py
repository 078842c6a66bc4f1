import pytest
import torch
from qiskit.quantum_info import Statevector

from qhybrid.models.control import ControlLayer
from qhybrid.models.quantum_attention import QuantumAttention
from qhybrid.models.spec import ModelSpec
from qhybrid.models.zoo import build_model
from qhybrid_circuits import VariationalCircuit
from qhybrid_circuits.ansatz import qattention
from qhybrid_runtime import get_backend
from qhybrid_runtime.health.model import model_health


def attention(
    circuit: VariationalCircuit, generator: torch.Generator, **options: bool
) -> QuantumAttention:
    backend = get_backend("statevector")
    made = QuantumAttention(circuit, 8, backend, generator=generator, **options)
    return made.double()


def features(generator: torch.Generator) -> torch.Tensor:
    return torch.randn(2, 8, 3, 3, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("variant", ["trainable", "published"])
def test_block_against_torch_and_qiskit(variant: str, generator: torch.Generator) -> None:
    """Means, linear map, 16 qubits in qiskit.quantum_info, linear map, product with the input."""
    circuit = qattention(variant=variant)
    block, x = attention(circuit, generator), features(generator)
    angles = x.sum(dim=(2, 3)) / 9 @ block.project_in.weight.T + block.project_in.bias
    bound = circuit.bind_weights(block.bank.layers[0].weight.detach().numpy())
    outputs = []
    for row in angles.detach().numpy():
        state = Statevector(bound.assign_parameters(dict(zip(circuit.inputs, row, strict=True))))
        outputs.append([state.expectation_value(each).real for each in circuit.observables])
    factors = torch.tensor(outputs) @ block.project_out.weight.T + block.project_out.bias
    torch.testing.assert_close(block(x), torch.einsum("bchw,bc->bchw", x, factors))


def test_gradients_against_central_differences(generator: torch.Generator) -> None:
    """Of all 48 weights, and through the circuit of what comes before it."""
    block, x = attention(qattention(), generator), features(generator)
    direction = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    weight, before = block.bank.layers[0].weight, block.project_in.bias
    (block(x) * direction).sum().backward()
    assert weight.grad.abs().min() > 1e-9
    for parameter in (weight, before):
        for index in range(0, len(parameter), 5):
            values = []
            for step in (1e-5, -1e-5):
                with torch.no_grad():
                    parameter[index] += step
                    values.append(float((block(x) * direction).sum()))
                    parameter[index] -= step
            slope = (values[0] - values[1]) / 2e-5
            assert float(parameter.grad[index]) == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_published_output_does_not_depend_on_the_weights(generator: torch.Generator) -> None:
    block = attention(qattention(variant="published"), generator)
    x = features(generator).requires_grad_()
    before = block(x)
    before.square().sum().backward()
    weight = block.bank.layers[0].weight
    assert weight.grad.abs().max() < 1e-12
    assert block.project_in.weight.grad.abs().min() > 0
    weight.data.uniform_(-3, 3, generator=generator)
    torch.testing.assert_close(block(x), before, rtol=0, atol=1e-12)


def test_detached_the_first_projection_learns_nothing(generator: torch.Generator) -> None:
    block = attention(qattention(), generator, detached=True)
    x = features(generator).requires_grad_()
    block(x).square().sum().backward()
    assert block.project_in.weight.grad is None
    assert block.bank.layers[0].weight.grad.any()
    factors = block.factors(x.mean(dim=(2, 3))).detach()[:, :, None, None]
    torch.testing.assert_close(x.grad, 2 * x.detach() * factors**2)


def test_control_has_a_cosine_layer_in_the_circuits_place(generator: torch.Generator) -> None:
    block = attention(qattention(), generator, control=True)
    (layer,) = block.bank.layers
    assert isinstance(layer, ControlLayer)
    assert (layer.num_inputs, layer.num_outputs, layer.weight.numel()) == (16, 16, 48)


@pytest.mark.thorough
def test_health_of_all_variants() -> None:
    """The paper's circuit is idle, and the code breaks its gradient path too; ours is neither."""
    found = {}
    for variant in ("trainable", "paper", "released"):
        spec = ModelSpec("qattention-unet", 8, dim=4, variant=variant)
        model = build_model(spec, generator=torch.Generator().manual_seed(0)).double()
        images = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(1)).double()
        found[variant] = model_health(model, images, torch.tensor([500]))
    ours, paper, theirs = found.values()
    assert (ours.num_weights, ours.dead_weights, ours.parameters_without_gradient) == (48, 0, ())
    assert (paper.num_weights, paper.dead_weights, paper.parameters_without_gradient) == (
        48,
        48,
        (),
    )
    assert (theirs.num_weights, theirs.dead_weights) == (48, 48)
    first = ("attention.project_in.weight", "attention.project_in.bias")
    assert theirs.parameters_without_gradient == first


@pytest.mark.parametrize(("backend", "within"), [("aer", 1e-10), ("aer:fake_fez", 0.35)])
def test_backends_agree(backend: str, within: float, generator: torch.Generator) -> None:
    """Aer to rounding; the noisy device, at 16 qubits, within what its errors do."""
    spec = ModelSpec("qattention-unet", 8, dim=4)
    model = build_model(spec, generator=torch.Generator().manual_seed(0)).double()
    options = {} if backend == "aer" else {"seed": 1}
    other = build_model(spec, get_backend(backend, **options)).double()
    other.load_state_dict(model.state_dict())
    angles = torch.randn(1, 16, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        ((exact,), (found,)) = (each.attention.bank([angles]) for each in (model, other))
    errors = (found - exact).abs()
    assert errors.max() < within
    assert bool((errors > 1e-4).any()) == (backend != "aer")
