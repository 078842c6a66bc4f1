"""Rings of controlled rotations, as the search for frames takes them."""

from qhybrid_circuits.lowering.frames.pauli_frames import Event, anticommute, pauli


def z(*qubits: int) -> int:
    return pauli(0, sum(1 << qubit for qubit in qubits))


def x(qubit: int) -> int:
    return pauli(1 << qubit)


def ring(steps: int, *, size: int = 4, port: int = -1) -> tuple[Event, ...]:
    """Return controlled rotations round a ring, with turns of every qubit between.

    After each round qubit 0 meets others at the vertex `port`, if there is one.
    """
    events: list[Event] = []
    for step in range(steps):
        target = size - 1 - step % size
        control = (target + 1) % size
        turned = [Event(z(target)), Event(x(target)), Event(z(target))]
        for event in (*turned, Event(z(control, target)), *turned):
            if not known(events, event):
                events.append(event)
        if port >= 0 and target == 0:
            events.append(Event(z(0), port))
    return tuple(events)


def known(events: list[Event], event: Event) -> bool:
    """Return whether the same rotation stands earlier, with only commuting ones between."""
    for earlier in reversed(events):
        if earlier == event:
            return True
        if anticommute(earlier.operator, event.operator):
            return False
    return False
