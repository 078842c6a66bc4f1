"""Configurations that come with qhybrid, one TOML file each; `--config NAME` takes one by name."""
