"""Placement: on which qubits of a target a lowered circuit, or several copies of it, run best."""
