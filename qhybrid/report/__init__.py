"""`qhybrid report`: what a model, an ansatz or a run costs on a device, and its health."""
