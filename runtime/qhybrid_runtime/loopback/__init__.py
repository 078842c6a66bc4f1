"""A service on this machine that IBM's own client speaks to, for rehearsals and tests."""
