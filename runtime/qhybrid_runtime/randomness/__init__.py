"""Random bits that are read from qubits, and normally distributed numbers made of them."""
