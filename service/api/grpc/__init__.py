"""The Open Inference Protocol (V2) over gRPC; loaded only where it is asked for."""
