"""Prediction tables, metrics and statistics."""
