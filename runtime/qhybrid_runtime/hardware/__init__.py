"""Devices: what is known of them, their targets, accounts, bills and the record of paid work."""
