"""Whether a serialised graph may be handed to ONNX Runtime, judged by its bytes alone."""
