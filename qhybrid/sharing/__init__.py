"""Runs for others: exported folders, and pipelines that draw from them."""
