"""Inspects image files without decoding them. The service and `build` use it for the same pixels from the same file."""
