"""Where a dataset's files come from: folders, archives, URLs, object stores, Kaggle."""
