"""The train stage: one detector, chosen in params.yaml, trained with Lightning into models/detector/."""
