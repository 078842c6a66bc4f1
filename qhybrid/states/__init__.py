"""Diffusion of quantum states: noise takes density matrices to I/d, a circuit takes them back."""

from typing import TYPE_CHECKING

from qhybrid_circuits._lazy import lazy_exports

if TYPE_CHECKING:
    from qhybrid.states.density import (
        density_matrices,
        maximally_mixed,
        random_states,
        state_cluster,
    )
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

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "DepolarizingProcess": ".depolarizing",
        "ReverseProcess": ".reverse",
        "STATE_LOSSES": ".losses",
        "density_matrices": ".density",
        "fidelity": ".losses",
        "hilbert_schmidt_distance": ".losses",
        "infidelity": ".losses",
        "maximally_mixed": ".density",
        "random_states": ".density",
        "save_fidelity_figure": ".figure",
        "state_cluster": ".density",
        "state_denoising_loss": ".objective",
        "state_generation_loss": ".objective",
        "trace_distance": ".losses",
    },
)
