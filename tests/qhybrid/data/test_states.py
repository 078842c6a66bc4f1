"""Sets of quantum states, compared with qiskit.quantum_info and scipy."""

from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from qiskit.quantum_info import SparsePauliOp, Statevector, state_fidelity

from qhybrid.data.load import load_dataset
from qhybrid.data.states import load_states
from qhybrid_circuits.errors import RequestError, UnknownNameError


@pytest.mark.parametrize("name", ["states:cluster", "states:circle", "states:ising"])
def test_families_have_other_states_for_the_test_and_the_same_every_time(name: str) -> None:
    train, test = (load_states(name, qubits=3, split=split) for split in ("train", "test"))
    assert train.images.shape == test.images.shape == (1000, 8, 8)
    assert not torch.equal(train.vectors, test.vectors)
    assert torch.equal(train.vectors, load_states(name, qubits=3).vectors)
    assert torch.equal(train.vectors[:7], load_states(name, qubits=3, limit=7).vectors)
    assert all(Statevector(each.numpy()).is_valid() for each in train.vectors[:10])
    close = (train.images.mean(0) - test.images.mean(0)).abs().max()
    assert close < 0.05


def test_a_cluster_has_the_spread_that_was_asked_for() -> None:
    exact = load_states("states:cluster", spread=0).vectors
    assert (exact - exact[0]).abs().max() < 1e-14
    near = load_states("states:cluster", spread=0.1, split="test").vectors
    centre = Statevector(exact[0].numpy())
    found = np.mean([state_fidelity(Statevector(each.numpy()), centre) for each in near])
    assert found == pytest.approx(1 - 0.1**2 * 3 / 4, abs=1e-3)


def test_ising_states_are_ground_states_by_scipy() -> None:
    chain = SparsePauliOp(["IZZ", "ZZI"]).to_matrix().real
    field = SparsePauliOp(["IIX", "IXI", "XII"]).to_matrix().real
    for state in load_states("states:ising", qubits=3, limit=5).vectors.numpy():
        # Which field it was: the ground state of the mean fields of it.
        fields = np.linspace(0.2, 2, 2000)
        grounds = [scipy.linalg.eigh(-chain - g * field)[1][:, 0] for g in fields]
        overlaps = np.abs(np.stack(grounds) @ state) ** 2
        assert overlaps.max() == pytest.approx(1, abs=1e-6)


def test_circle_states_are_superpositions_of_two() -> None:
    states = load_states("states:circle", qubits=2).vectors.numpy()
    assert not states[:, 1:3].any()
    np.testing.assert_allclose(states.imag, 0, atol=1e-15)
    np.testing.assert_allclose((states**2).mean(0).real, [0.5, 0, 0, 0.5], atol=0.05)


def test_files_of_states(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    states = np.random.default_rng(0).standard_normal((4, 4)) * 1j
    np.savez(path, states=states, test_states=np.eye(4)[:2], flat=np.ones(4))
    name = f"states:{path}"
    unit = states / np.linalg.norm(states, axis=1, keepdims=True)
    np.testing.assert_allclose(load_states(name).vectors, unit, atol=1e-15)
    assert len(load_states(name, split="test")) == 2
    for options, message in (
        ({"qubits": 3}, "of 2 qubits, but data.qubits is 3"),
        ({"spread": 0.1}, "data.spread is of families"),
    ):
        with pytest.raises(RequestError, match=message):
            load_states(name, **options)
    for held, message in (
        ({"images": states}, "lacks states"),
        ({"states": np.ones((2, 3))}, "must be real or complex"),
        ({"states": np.ones((2, 4), dtype=np.uint8)}, "must be real or complex"),
        ({"states": np.diag([1, 0, 1, np.nan])}, "2 rows that are no states"),
        ({"states": np.ones((0, 4))}, "holds no states"),
    ):
        np.savez(path, **held)
        with pytest.raises(RequestError, match=message):
            load_states(name)


def test_wrong_names() -> None:
    with pytest.raises(UnknownNameError, match="did you mean states:ising"):
        load_states("states:isin")
    with pytest.raises(RequestError, match="2 to 4 qubits"):
        load_states("states:ising", qubits=1)
    with pytest.raises(RequestError, match="holds quantum states, but images are wanted"):
        load_dataset("states:ising")
