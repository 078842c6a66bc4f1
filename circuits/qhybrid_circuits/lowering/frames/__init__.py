"""Pauli frames: Clifford gates in place of swaps, for clusters of three or four qubits."""
