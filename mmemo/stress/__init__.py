"""A trained model when sound is bad, words are wrong, or a modality is missing or contradicts."""
