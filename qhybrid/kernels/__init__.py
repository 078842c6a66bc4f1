"""The compiled kernels of the engine and of U-Nets: when they are compiled, and who is told.

numba compiles each at its first use on a machine, and keeps it; all take half a minute.
"""
