"""A web page to try a detector on one's own files: `make demo`."""
