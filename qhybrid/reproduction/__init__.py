"""Experiments of papers run again: their tables, and what becomes of their claims."""
