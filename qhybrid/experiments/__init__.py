"""Experiments of papers, one TOML file each; `qhybrid reproduce NAME` takes one by name."""
