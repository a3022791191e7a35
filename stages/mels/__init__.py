"""The mels stage: a log-mel spectrogram of each video's sound."""
