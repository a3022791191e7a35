"""Log-mel spectrograms of a video's audio."""
