"""Which circuit stands at a place of a model: the model's own, or what a request chose."""

from qhybrid.models.spec import ModelSpec
from qhybrid_circuits import VariationalCircuit
from qhybrid_circuits.ansatz_registry import REGISTRY as ANSATZE
from qhybrid_circuits.errors import CircuitError, RequestError
from qhybrid_circuits.fitting import Choice, fitted_ansatz


def circuit_at(
    spec: ModelSpec, own: str, *, size: int, exact: bool = True, fixed: bool = False
) -> VariationalCircuit:
    """Return the circuit of a place that has `size` features and takes as many values.

    Args:
        spec: The model, and the ansatz, encoding and topology that were chosen for it.
        own: The ansatz that stands there where no other was chosen; its variant is the model's.
        size: Features, and values.
        exact: See `fitted_ansatz`.
        fixed: Whether the ansatz stays its own, in its usual layers, whichever was chosen.

    Raises:
        CircuitError: The circuit does not fit.
    """
    name = own if fixed or spec.ansatz is None else spec.ansatz
    options: dict[str, object] = {} if fixed else {"layers": spec.ansatz_layers}
    if name == own:
        options["variant"] = spec.ansatz_variant
    choice = Choice(name, spec.encoding, spec.topology)
    try:
        return fitted_ansatz(choice, features=size, outputs=size, exact=exact, **options)
    except CircuitError as error:
        if exact or spec.encoding is not None or ANSATZE[name].encoding is None:
            raise
        raise CircuitError(f"{error}; with model.encoding the qubits are fewer") from error


def refuse_chosen(spec: ModelSpec) -> None:
    """Refuse another circuit in a variant whose circuits are those of published code.

    Raises:
        RequestError: One was chosen.
    """
    if not spec.has_own_circuits:
        raise RequestError(
            f"variant={spec.variant} of {spec.name} has the circuits of the published code; leave "
            "model.ansatz, model.encoding and model.topology out, or leave out the variant"
        )
