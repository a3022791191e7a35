"""The detectors: one file each, found by name through dfdetect/detectors/registry.py; layers/ holds what they share."""
