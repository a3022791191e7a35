"""Files: atomic writes, Parquet tables and their schemas, pretrained weights."""
