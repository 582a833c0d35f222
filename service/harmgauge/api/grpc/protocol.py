"""The protocol's messages, built from its description.

They are in a separate descriptor pool: clients in the same process may load their own description of the same package.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICE = "inference.GRPCInferenceService"

HEALTH_SERVICE = "grpc.health.v1.Health"


def methods() -> dict[str, tuple[Any, Any]]:
    """Request and response classes, by the name of the call."""
    description = Path(__file__).with_name("open_inference.binpb").read_bytes()
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(description).file:
        pool.Add(file)
    message = message_factory.GetMessageClass
    return {
        method.name: (message(method.input_type), message(method.output_type))
        for method in pool.FindServiceByName(SERVICE).methods
    }
