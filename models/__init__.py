"""What makes and judges a bundle."""

import service as service  # before ONNX Runtime is loaded: see there
