"""Prediction tables, metrics and run folders."""
