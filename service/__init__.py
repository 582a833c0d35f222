"""harmgauge, the running service.

ONNX Runtime reports its use to Microsoft unless it is told not to before it is loaded: whatever of ours is imported
comes here first.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
