"""Stock tools compared with qiskit.quantum_info on this project's circuits."""
