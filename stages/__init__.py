"""The DVC pipeline: one module per stage; dvc.yaml says what each reads and writes."""
