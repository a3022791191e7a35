"""Decoding of video, audio and images; what a file claims and what is true."""
