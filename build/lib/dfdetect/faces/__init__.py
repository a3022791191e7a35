"""Face detectors, the main face's track, crops, landmarks, attention masks and mouth crops."""
