"""Lightning module, from recipe to trainer, resuming, model card."""
