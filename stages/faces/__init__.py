"""The faces stage: one subject a video, found, followed and cropped."""
