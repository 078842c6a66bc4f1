"""Circuits as two-qubit blocks: merging gates, condensing long parts, decomposing into gates."""
