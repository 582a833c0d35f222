"""Checks whether a serialised graph may be handed to ONNX Runtime, by its bytes alone."""
