"""The detectors: one file each, found by name through stages/detectors/registry.py; layers/ holds what they share."""
