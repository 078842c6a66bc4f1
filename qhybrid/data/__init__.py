"""Images to train on: the catalog of names (torch-free) and the loader behind all of them."""
