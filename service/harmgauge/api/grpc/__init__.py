"""The Open Inference Protocol (V2) over gRPC; loaded only on request."""

INFER_ROUTE = "/inference.GRPCInferenceService/ModelInfer"
"""The route's name in metrics."""

MOST_CONNECTIONS = 1024
"""Limit on gRPC connections, if the system allows that many open files."""
