"""Converts exporters' files to the one form that the rest relies on.

One input and one output (n, classes) in float32; any number of rows; nodes in the order in which they run; operators of
ONNX itself declared. `graphs/classifier.py` puts the steps together.
"""
