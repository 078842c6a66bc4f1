"""Pauli frames: Clifford gates in place of swaps, for qubits that interact in rings."""
