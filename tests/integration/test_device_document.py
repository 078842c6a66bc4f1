import importlib.util
from pathlib import Path

import torch

from qhybrid_circuits import build_ansatz
from qhybrid_runtime import get_backend
from qhybrid_runtime.bank import CircuitBank


def test_circuits_say_their_mean_within_the_block_alone() -> None:
    path = Path(__file__).parents[2] / "docs" / "measure_device.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    circuit = build_ansatz("reupload", qubits=3, layers=2)
    bank = CircuitBank([circuit], get_backend("statevector"))
    inputs = [torch.rand(5, circuit.num_inputs)]
    with torch.no_grad():
        (usual,) = bank(inputs)
        with module.circuits_at_mean():
            (changed,) = bank(inputs)
        (after,) = bank(inputs)
    assert usual.std(0).max() > 1e-3
    torch.testing.assert_close(changed, usual.mean(0).expand_as(usual))
    torch.testing.assert_close(after, usual)
