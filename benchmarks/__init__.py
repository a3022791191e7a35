"""What `make bench`, `make soak`, `make interruptions` and their like run."""
