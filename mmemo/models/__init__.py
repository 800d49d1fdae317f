"""Encoders, fusion and the classifier: architecture, no loss, no metrics."""
