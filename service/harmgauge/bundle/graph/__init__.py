"""Checks whether a serialised graph may be passed to ONNX Runtime, from its bytes alone."""
