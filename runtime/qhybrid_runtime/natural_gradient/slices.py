from collections import defaultdict

from qiskit.circuit import ParameterExpression

from qhybrid_circuits import VariationalCircuit


def time_slices(variational: VariationalCircuit) -> list[int | None]:
    """Return the time slice of each weight: the layers of the block-diagonal metric.

    Each gate acts as early as it can. It is in slice t where t gates with weights act one after
    another, each on a qubit of the next, before it. So the gates with weights of one slice are on
    different qubits, commute, and can act at one time, with gates without weights between the
    slices: the circuits for which Stokes et al. (arXiv:1909.02108, section 3) define the
    block-diagonal metric. A weight of several gates belongs to the slice of the first of them.

    A gate that is made of others counts as one. The slice of a weight in no gate is None.
    """
    position = {weight: index for index, weight in enumerate(variational.weights)}
    slices: list[int | None] = [None] * variational.num_weights
    free_at: defaultdict[int, int] = defaultdict(int)
    for instruction in variational.circuit.data:
        qubits = [variational.circuit.find_bit(qubit).index for qubit in instruction.qubits]
        time = max((free_at[qubit] for qubit in qubits), default=0)
        own = {
            position[parameter]
            for angle in getattr(instruction.operation, "params", ())
            if isinstance(angle, ParameterExpression)
            for parameter in angle.parameters
            if parameter in position
        }
        for weight in own:
            slices[weight] = time if slices[weight] is None else slices[weight]
        free_at.update(dict.fromkeys(qubits, time + bool(own)))
    return slices
