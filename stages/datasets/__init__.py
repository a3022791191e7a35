"""Dataset layouts: one file a layout, found by its name (stages/datasets/registry.py); generator/ makes the sample."""
