"""The diffusion process: schedules, the weighted loss, EMA weights, samplers and image files."""
