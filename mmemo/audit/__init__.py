"""What is wrong with a corpus: counts, gaps, overlaps between splits, clips."""
