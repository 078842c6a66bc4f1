"""What can be said of a backend before its module is imported; imports nothing heavy."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

#: What an exact simulator offers: the adjoint costs about two evaluations whatever the number of
#: parameters, parameter-shift at least two a parameter, and spsa is an estimate of the same.
EXACT_GRADIENTS = ("adjoint", "parameter-shift", "spsa")

#: What device noise and QPUs offer. SPSA takes two evaluations whatever the number of parameters;
#: parameter-shift is unbiased but takes hundreds; adjoint is the ideal circuit's derivative at the
#: measured values, free but biased, so it has to be asked for.
DEVICE_GRADIENTS = ("spsa", "parameter-shift", "adjoint")

#: Options of `qhybrid sample` that say how circuits are run as jobs.
JOB_OPTIONS = frozenset(
    {"shots", "mitigate", "primitive", "resilience_level", "dynamical_decoupling", "twirling"}
    | {"pack", "fractional", "mode", "hardware_steps", "max_qpu_seconds", "max_wait_seconds"}
)


@dataclass(frozen=True)
class BackendInfo:
    """A backend's row: how its names are read, where its class is, and what it can do.

    A row of the table stands for all names that it reads; `check_backend_name` returns it with
    `name` and `value` of one of them. Nothing else in the code asks which backend it has.

    Attributes:
        name: What `get_backend` and `--backend` take.
        home: The class, as "module:Class" so that naming a backend imports nothing.
        read: Returns the value of `argument` that a name stands for, or None for other rows'
            names; raises RequestError for a name of this row that is wrong. Where omitted, the
            row reads its own name only.
        argument: The class's argument that is part of the name; None where there is none.
        value: Its value.
        forms: How names are written, for people -> the note that listings show.
        names: Returns all names that are known without asking an account.
        exact: Whether expectation values are free of sampling and device noise.
        gradients: The gradient methods it supports, best first.
        seeded: Whether the class takes `seed`, that what is random follows from.
        runs_jobs: Whether circuits are jobs, which are recorded and billed, on hardware or not.
        paid: Whether they cost QPU time of an account.
        takes: Of `JOB_OPTIONS`, what applies here.
        refusal: Why the others do not, after "which".
        bits: Function (info, state, backend) -> BitSource as "module:function": its random bits;
            see `bit_source`.
        listing: Function () -> records of `qhybrid backends`, as "module:function"; where omitted,
            one record a form.
    """

    name: str
    home: str
    read: Callable[[str], str | None] | None = None
    argument: str | None = None
    value: str = ""
    forms: Mapping[str, str] | None = None
    names: Callable[[], Iterable[str]] = tuple
    exact: bool = False
    gradients: tuple[str, ...] = DEVICE_GRADIENTS
    seeded: bool = False
    runs_jobs: bool = False
    paid: bool = False
    takes: frozenset[str] = frozenset()
    refusal: str = "computes exactly, without shots or jobs"
    bits: str | None = None
    listing: str | None = None
