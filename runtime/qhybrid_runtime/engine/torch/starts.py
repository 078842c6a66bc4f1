"""The state that an evolution starts from: a product of the states of its registers."""

from collections.abc import Sequence

from torch import Tensor

from qhybrid_runtime.engine.fusion import Plan


def start_state(plan: Plan, qubit_states: Tensor, data_angles: Tensor) -> Tensor:
    """Return the start state (G, 2**n, B) of a plan.

    Args:
        plan: Says which registers are prepared.
        qubit_states: The states of qubits on their own, (n, 2, G, B); those of prepared ones are
            not used.
        data_angles: Shape (G, B, n_data_angles).
    """
    parts = [qubit_states[qubit].transpose(0, 1) for qubit in plan.single_qubits]
    parts += [preparation.state(data_angles) for preparation in plan.preparations]
    order = [*plan.single_qubits, *(q for p in plan.preparations for q in p.qubits)]
    return _in_order(_product(parts), order)


def _product(parts: Sequence[Tensor]) -> Tensor:
    """Return the product (G, 2**n, B) of states (G, 2**k, B), the first the least significant."""
    while len(parts) > 1:
        # Joining neighbours halves the number of factors, so only the last product is a large one.
        pairs = [
            (parts[i + 1][:, :, None] * parts[i][:, None]).flatten(1, 2)
            for i in range(0, len(parts) - 1, 2)
        ]
        parts = [*pairs, *parts[len(pairs) * 2 :]]
    return parts[0]


def _in_order(state: Tensor, order: Sequence[int]) -> Tensor:
    """Return a state (G, 2**n, B) whose bit i is qubit `order[i]` with its qubits ascending."""
    count = len(order)
    if list(order) == list(range(count)):
        return state
    # The most significant bit is the first axis.
    axes = [count - list(order).index(qubit) for qubit in reversed(range(count))]
    split = state.reshape(state.shape[0], *[2] * count, state.shape[-1])
    return split.permute(0, *axes, count + 1).reshape(state.shape)
