"""Worker processes, Ray, the result cache, locks and threads."""
