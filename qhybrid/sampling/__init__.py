"""Sampling runs: images drawn from a training run, in a folder that says how."""
