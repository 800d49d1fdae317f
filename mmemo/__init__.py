"""mmemo: emotion recognition in speech and text, from raw clips to an honest report."""

__version__ = "0.1.0"
