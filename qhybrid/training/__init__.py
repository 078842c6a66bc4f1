"""Training: `train` and what can end it early; torch and lightning load when it starts."""
