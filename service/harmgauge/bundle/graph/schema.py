"""The format of ONNX graphs: the messages in onnx.proto of ONNX 1.23 (IR version 14 and earlier)."""

from __future__ import annotations

from harmgauge.bundle.graph.wire import Field, Schema


def _text(**names: int) -> dict[int, Field]:
    return {number: Field(name, "text") for name, number in names.items()}


def _texts(**names: int) -> dict[int, Field]:
    return {number: Field(name, "text", repeated=True) for name, number in names.items()}


def _one(**names: int) -> dict[int, Field]:
    """Bytes and messages that occur at most once."""
    return {number: Field(name, "bytes") for name, number in names.items()}


def _many(**names: int) -> dict[int, Field]:
    return {number: Field(name, "bytes", repeated=True) for name, number in names.items()}


def _int(**names: int) -> dict[int, Field]:
    return {number: Field(name, "int") for name, number in names.items()}


def _ints(**names: int) -> dict[int, Field]:
    return {number: Field(name, "int", repeated=True) for name, number in names.items()}


MODEL: Schema = (
    _int(ir_version=1, model_version=5)
    | _text(producer_name=2, producer_version=3, domain=4, doc_string=6)
    | _one(graph=7)
    | _many(opset_import=8, metadata_props=14, training_info=20, functions=25, configuration=26)
)

OPERATOR_SET: Schema = _text(domain=1) | _int(version=2)

ENTRY: Schema = _text(key=1, value=2)

GRAPH: Schema = _text(name=2, doc_string=10) | _many(
    node=1, initializer=5, input=11, output=12, value_info=13, quantization_annotation=14, sparse_initializer=15,
    metadata_props=16,
)  # fmt: skip

ANNOTATION: Schema = _text(tensor_name=1) | _many(quant_parameter_tensor_names=2)

NODE: Schema = (
    _text(name=3, op_type=4, doc_string=6, domain=7, overload=8)
    | _texts(input=1, output=2)
    | _many(attribute=5, metadata_props=9, device_configurations=10)
)

ATTRIBUTE: Schema = (
    _text(name=1, doc_string=13, ref_attr_name=21)
    | _one(s=4, t=5, g=6, tp=14, sparse_tensor=22)
    | _many(strings=9, tensors=10, graphs=11, type_protos=15, sparse_tensors=23)
    | _int(i=3, type=20)
    | _ints(ints=8)
    | {2: Field("f", "float"), 7: Field("floats", "float", repeated=True)}
)

TENSOR: Schema = (
    _int(data_type=2, data_location=14)
    | _ints(dims=1, int32_data=5, int64_data=7, uint64_data=11)
    | _text(name=8, doc_string=12)
    | _one(segment=3, raw_data=9)
    | _many(string_data=6, external_data=13, metadata_props=16)
    | {4: Field("float_data", "float", repeated=True), 10: Field("double_data", "double", repeated=True)}
)

VALUE_INFO: Schema = _text(name=1, doc_string=3) | _one(type=2) | _many(metadata_props=4)

TYPE: Schema = _text(denotation=6) | _one(
    tensor_type=1, sequence_type=4, map_type=5, opaque_type=7, sparse_tensor_type=8, optional_type=9
)

TENSOR_TYPE: Schema = _int(elem_type=1) | _one(shape=2)
"""Also the schema of sparse tensors."""

SEQUENCE_TYPE: Schema = _one(elem_type=1)
"""Also the schema of optional types."""

MAP_TYPE: Schema = _int(key_type=1) | _one(value_type=2)

SHAPE: Schema = _many(dim=1)

DIMENSION: Schema = _int(dim_value=1) | _text(dim_param=2, denotation=3)

ATTRIBUTE_TYPES = range(15)
"""By `type` of an attribute: undefined, then f, i, s, t, g, floats, ints and so on."""

ELEMENT_BITS = {
    **dict.fromkeys((2, 3, 9, 17, 18, 19, 20, 24), 8),  # uint8, int8, bool, float8 of all kinds
    **dict.fromkeys((4, 5, 10, 16), 16),  # uint16, int16, float16, bfloat16
    **dict.fromkeys((1, 6, 12), 32),  # float, int32, uint32
    **dict.fromkeys((7, 11, 13, 14), 64),  # int64, double, uint64, complex64
    15: 128,  # complex128
    **dict.fromkeys((21, 22, 23), 4),  # uint4, int4, float4
    **dict.fromkeys((25, 26), 2),  # uint2, int2
}
"""By `data_type`; strings have no entry."""

FLOAT, INT64, TEXT, FLOAT16, DOUBLE, UINT32, UINT64, BFLOAT16, UINT4, INT4 = 1, 7, 8, 10, 11, 12, 13, 16, 21, 22
