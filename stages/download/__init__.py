"""The download stage: bring a dataset's files to where the pipeline reads them, list, hash and probe them."""
