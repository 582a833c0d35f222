"""The Open Inference Protocol (V2) over gRPC; loaded only if it is enabled."""

INFER_ROUTE = "/inference.GRPCInferenceService/ModelInfer"
"""The name of the route in metrics."""

MOST_CONNECTIONS = 1024
"""Limit on gRPC connections, if the system allows that many open files."""
