import pytest
import torch
from torch import Tensor, nn

from qhybrid_circuits import build_ansatz
from qhybrid_runtime import get_backend, quantum_layer
from qhybrid_runtime.health.model import ModelHealth, model_health


class Sandwich(nn.Module):
    """Linear, circuit, linear, as in a network with a quantum bottleneck."""

    def __init__(self, variant: str = "paper", *, detach: bool = False, use: bool = True) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        variational = build_ansatz("hqconv", channels=2, layers=1, variant=variant)
        self.before, self.after = nn.Linear(3, 8), nn.Linear(8, 2)
        self.circuit = quantum_layer(variational, get_backend("statevector"), generator=generator)
        self.detach, self.use = detach, use

    def forward(self, x: Tensor) -> Tensor:
        features = self.before(x)
        if self.detach:
            features = features.detach()
        return self.after(self.circuit(features) if self.use else features)


def health(model: nn.Module, dtype: torch.dtype = torch.float64) -> ModelHealth:
    return model_health(model.to(dtype), torch.linspace(-1, 1, 6, dtype=dtype).reshape(2, 3))


def test_a_sound_network_has_nothing_to_report() -> None:
    found = health(Sandwich())
    assert (found.num_weights, found.dead_weights, found.circuits) == (18, 0, 1)
    assert found.dead_circuits == ()
    assert found.parameters_without_gradient == ()


def test_a_detached_input_breaks_the_path_to_what_is_before_it() -> None:
    found = health(Sandwich(detach=True))
    assert found.parameters_without_gradient == ("before.weight", "before.bias")
    assert found.dead_weights == 0


def test_a_circuit_whose_output_is_not_used_is_dead_as_a_whole() -> None:
    found = health(Sandwich(use=False))
    assert found.dead_circuits == ("circuit",)
    assert found.dead_weights == 18


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_of_the_released_variant_are_dead_in_a_network_too(dtype: torch.dtype) -> None:
    found = health(Sandwich("released"), dtype)
    assert (found.dead_weights, found.num_weights) == (16, 18)
    assert found.dead_circuits == ()
    assert ModelHealth.from_dict(found.to_dict()) == found


def test_the_effect_of_circuits_is_what_the_output_loses_without_them() -> None:
    model = Sandwich().double()
    inputs = torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(2, 3)
    with torch.no_grad():
        usual = model(inputs)
        silent = model.after(torch.zeros(2, model.after.in_features, dtype=torch.float64))
    expected = ((usual - silent) ** 2).mean().sqrt() / usual.std()
    assert health(model).circuit_effect == pytest.approx(float(expected))
    assert health(Sandwich(use=False)).circuit_effect == 0


def test_looking_changes_nothing() -> None:
    model = Sandwich()
    before, state = {n: t.clone() for n, t in model.state_dict().items()}, torch.get_rng_state()
    health(model, torch.float32)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_network_without_circuits_and_gradients() -> None:
    frozen = nn.Linear(3, 2).double().requires_grad_(False)
    assert health(frozen) == ModelHealth(
        num_weights=0, dead_weights=0, circuits=0, dead_circuits=(), parameters_without_gradient=()
    )
