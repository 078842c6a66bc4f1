"""Diffusion of quantum states: noise takes density matrices to I/d, a circuit takes them back."""

from qhybrid.states.decoherence import DecoherenceProcess
from qhybrid.states.density import density_matrices, maximally_mixed, random_states, state_cluster
from qhybrid.states.depolarizing import DepolarizingProcess
from qhybrid.states.figure import save_fidelity_figure
from qhybrid.states.losses import (
    STATE_LOSSES,
    fidelity,
    hilbert_schmidt_distance,
    infidelity,
    trace_distance,
)
from qhybrid.states.objective import state_denoising_loss, state_generation_loss
from qhybrid.states.reverse import ReverseProcess

__all__ = [
    "STATE_LOSSES",
    "DecoherenceProcess",
    "DepolarizingProcess",
    "ReverseProcess",
    "density_matrices",
    "fidelity",
    "hilbert_schmidt_distance",
    "infidelity",
    "maximally_mixed",
    "random_states",
    "save_fidelity_figure",
    "state_cluster",
    "state_denoising_loss",
    "state_generation_loss",
    "trace_distance",
]
