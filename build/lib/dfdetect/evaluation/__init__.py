"""Metrics, intervals, calibration, robustness and comparison: tables in, figures out."""
