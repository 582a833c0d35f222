"""The Open Inference Protocol (V2) over gRPC; loaded only where it is asked for."""

INFER_ROUTE = "/inference.GRPCInferenceService/ModelInfer"
"""How metrics call the route."""

MOST_CONNECTIONS = 1024
"""Over gRPC, where the system allows so many open files."""
