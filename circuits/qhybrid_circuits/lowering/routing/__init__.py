"""Routing: swaps that bring the qubits of blocks together on a coupling graph."""
