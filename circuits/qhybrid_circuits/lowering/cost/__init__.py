"""Costs on a target: success of couplings, and estimated success probability of circuits."""
