import json
from copy import deepcopy
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from qhybrid_circuits import RequestError, UnknownNameError
from qhybrid_runtime.hardware.snapshots import snapshot_folders, snapshots

if TYPE_CHECKING:
    from qiskit.transpiler import Target

#: Gates that QPUs with fractional gates add -> the gate whose errors and durations they have.
_FRACTIONAL = {"rx": "sx", "rzz": "cz"}


class ServedQpu:
    """A QPU as the service describes it: the configuration and calibration of a fake one.

    Attributes:
        name: Such as "ibm_fez" for fake_fez.
        mock: The name of the device that `dry_run=True` of the client's primitives runs on.
        qubits: How many it has.
        waiting: Jobs of other people in its queue.
        maintenance: Whether it runs no jobs at present.
        outcomes: What becomes of its next jobs, before those that the account has for any.
    """

    def __init__(self, fake: str, *, fractional: bool | None = None, waiting: int = 3) -> None:
        """Load what the client's package has of a fake QPU, e.g. "fake_fez".

        `fractional` adds rzz and rx; where omitted, QPUs whose two-qubit gate is cz have them.

        Raises:
            UnknownNameError: There is no fake QPU of this name.
            RequestError: Fractional gates are asked for, but its two-qubit gate is not cz.
        """
        if fake not in snapshots():
            raise UnknownNameError(
                "fake device", fake, ("fake_fez", "fake_manila"), more=snapshots()
            )
        short, folder = fake.removeprefix("fake_"), snapshot_folders()[fake]
        self.name, self.mock = f"ibm_{short}", f"mock_{short}"
        self.waiting, self.maintenance = waiting, False
        self.outcomes: list[str | int | None] = []
        self._configuration = json.loads((folder / f"conf_{short}.json").read_text())
        self._properties = json.loads((folder / f"props_{short}.json").read_text())
        self._configuration |= {"backend_name": self.name, "simulator": False}
        self.qubits = int(self._configuration["n_qubits"])
        has_cz = "cz" in self._configuration["basis_gates"]
        if fractional and not has_cz:
            raise RequestError(
                f"'{fake}' cannot have fractional gates, since its two-qubit gate is not cz; "
                "serve fake_fez, or leave the fractional gates out"
            )
        if has_cz and fractional is not False:
            self._add_fractional_gates()

    def _add_fractional_gates(self) -> None:
        configuration, properties = self._configuration, self._properties
        for gate, like in _FRACTIONAL.items():
            (model,) = [each for each in configuration["gates"] if each["name"] == like]
            definition = {"name": gate, "parameters": ["theta"], "qasm_def": f"gate {gate}(theta)"}
            configuration["gates"].append({**model, **definition})
            configuration["basis_gates"].append(gate)
            configuration["supported_instructions"].append(gate)
            for entry in [each for each in properties["gates"] if each["gate"] == like]:
                name = gate + entry["name"].removeprefix(like)
                properties["gates"].append({**deepcopy(entry), "gate": gate, "name": name})

    def configuration(self, name: str) -> dict[str, Any]:
        """Return the configuration, under this name."""
        return {**self._configuration, "backend_name": name}

    def properties(self, name: str) -> dict[str, Any]:
        """Return the calibration, under this name."""
        return {**self._properties, "backend_name": name}

    def status(self) -> dict[str, Any]:
        """Return whether it runs jobs, and how many wait."""
        return {
            "state": not self.maintenance,
            "status": "maintenance" if self.maintenance else "active",
            "backend_version": self._configuration["backend_version"],
            "length_queue": self.waiting,
        }

    @cached_property
    def target(self) -> "Target":
        """The target as the client makes it, with all gates."""
        from qiskit_ibm_runtime.utils.backend_converter import convert_to_target
        from qiskit_ibm_runtime.utils.backend_decoder import (
            configuration_from_server_data,
            properties_from_server_data,
        )

        # The client's functions change what they are given.
        return convert_to_target(
            configuration_from_server_data(deepcopy(self._configuration), "", None),
            properties_from_server_data(deepcopy(self._properties), None),
        )

    def recalibrate(self, factor: float) -> None:
        """Multiply all error rates, to 0.5 at most, as a new calibration may."""
        places = [
            *self._properties["qubits"],
            *(g["parameters"] for g in self._properties["gates"]),
        ]
        for figure in [figure for place in places for figure in place]:
            if figure["name"] in ("gate_error", "readout_error"):
                figure["value"] = min(0.5, factor * figure["value"])
        self._changed()

    def break_pair(self, first: int, second: int) -> None:
        """Take the gates of two coupled qubits out of service."""
        pairs = ([first, second], [second, first])
        configuration, properties = self._configuration, self._properties
        for holder in (configuration, *configuration["gates"]):
            coupled = holder.get("coupling_map", [])
            holder["coupling_map"] = [each for each in coupled if each not in pairs]
        properties["gates"] = [each for each in properties["gates"] if each["qubits"] not in pairs]
        self._changed()

    def _changed(self) -> None:
        self._properties["last_update_date"] = datetime.now(UTC).isoformat()
        self.__dict__.pop("target", None)
