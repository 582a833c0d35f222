"""The Open Inference Protocol (V2) over REST, with its binary tensor extension."""
