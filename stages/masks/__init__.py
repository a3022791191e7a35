"""The masks stage: 68 landmarks and an attention mask for each face crop."""
