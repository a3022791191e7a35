"""From files to scores: saved models, scoring, prediction of any file, annotated copies, export."""
