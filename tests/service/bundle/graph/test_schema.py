"""The schema is ONNX's own: with a field missing, a graph would be rejected or only half of it checked."""

from __future__ import annotations

import re

import pytest
from google.protobuf.descriptor import FieldDescriptor
from onnx import onnx_ml_pb2 as proto

from harmgauge.bundle.graph import schema
from harmgauge.bundle.graph.wire import Kind, Schema

KINDS: dict[int, Kind] = {
    FieldDescriptor.TYPE_INT32: "int",
    FieldDescriptor.TYPE_INT64: "int",
    FieldDescriptor.TYPE_UINT64: "int",
    FieldDescriptor.TYPE_ENUM: "int",
    FieldDescriptor.TYPE_STRING: "text",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_MESSAGE: "bytes",
    FieldDescriptor.TYPE_FLOAT: "float",
    FieldDescriptor.TYPE_DOUBLE: "double",
}


@pytest.mark.parametrize(
    ("ours", "message"),
    [
        (schema.MODEL, proto.ModelProto),
        (schema.OPERATOR_SET, proto.OperatorSetIdProto),
        (schema.ENTRY, proto.StringStringEntryProto),
        (schema.ANNOTATION, proto.TensorAnnotation),
        (schema.GRAPH, proto.GraphProto),
        (schema.NODE, proto.NodeProto),
        (schema.ATTRIBUTE, proto.AttributeProto),
        (schema.TENSOR, proto.TensorProto),
        (schema.VALUE_INFO, proto.ValueInfoProto),
        (schema.TYPE, proto.TypeProto),
        (schema.TENSOR_TYPE, proto.TypeProto.Tensor),
        (schema.TENSOR_TYPE, proto.TypeProto.SparseTensor),
        (schema.SEQUENCE_TYPE, proto.TypeProto.Sequence),
        (schema.SEQUENCE_TYPE, proto.TypeProto.Optional),
        (schema.MAP_TYPE, proto.TypeProto.Map),
        (schema.SHAPE, proto.TensorShapeProto),
        (schema.DIMENSION, proto.TensorShapeProto.Dimension),
    ],
)
def test_every_field_of_onnx_is_there(ours: Schema, message: type[proto.ModelProto]) -> None:
    assert {number: tuple(field) for number, field in ours.items()} == {
        field.number: (field.name, KINDS[field.type], field.is_repeated) for field in message.DESCRIPTOR.fields
    }


def test_every_data_type_that_onnx_stores_has_its_width() -> None:
    known = {proto.TensorProto.DataType.Name(number): bits for number, bits in schema.ELEMENT_BITS.items()}
    # FLOAT6 is newer than any ONNX Runtime; UNDEFINED is not a type.
    assert set(proto.TensorProto.DataType.keys()) - set(known) == {"UNDEFINED", "STRING", "FLOAT6E2M3", "FLOAT6E3M2"}
    for name, bits in known.items():
        digits = re.search(r"\d+", name)
        assert bits == (int(digits[0]) if digits else {"FLOAT": 32, "BOOL": 8, "DOUBLE": 64}[name])
