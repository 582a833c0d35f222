"""Converts exporters' files to the normal form that the other modules rely on.

A graph in normal form has one input and one output (n, classes) in float32, accepts any number of rows, has its nodes
in the order in which they run, and declares ONNX's own operators. `graphs/classifier.py` combines the steps.
"""
