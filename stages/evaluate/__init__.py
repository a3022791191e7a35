"""Judge a trained detector on the test split of a dataset, and compare detectors."""
