"""params.yaml as checked models: one home for each key, its default and its sentence."""
