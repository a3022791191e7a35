"""`python -m dfdetect` is the console script `dfdetect`."""

from dfdetect.cli import entry

entry()
