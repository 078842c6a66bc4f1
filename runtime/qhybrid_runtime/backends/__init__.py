"""Where circuits run. `get_backend` turns a name into one of these."""
