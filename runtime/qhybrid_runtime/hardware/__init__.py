"""What only QPUs need: targets, accounts, jobs, their bills and the record of paid work."""
