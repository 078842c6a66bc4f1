"""The U-Nets: their names and specifications (light) and the networks themselves (torch, lazy)."""
