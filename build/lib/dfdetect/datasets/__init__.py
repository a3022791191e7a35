"""Dataset layouts: one file each, found by name through dfdetect/datasets/registry.py."""
