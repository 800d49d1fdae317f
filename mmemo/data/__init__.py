"""From a prepared corpus to batches."""
