"""Sweeps: cells, the launcher that runs them, and what is shown of them."""
