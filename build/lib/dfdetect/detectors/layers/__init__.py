"""Layers that detectors share. Import the module you need: nothing is imported here, so no torch either."""
