"""The mouths stage: crops of the subject's mouth at even times over the clip."""
