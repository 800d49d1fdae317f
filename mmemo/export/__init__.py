"""A run's model for other programs: as an ONNX graph, or as a folder for Hugging Face's hub."""
