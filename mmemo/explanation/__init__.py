"""Why a model answers as it does, and how far that can be believed."""
