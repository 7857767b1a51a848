"""Reads and edits `.tflite` files as objects: arrays of constants, names of operators, new tensors."""

from __future__ import annotations

from functools import cache
from typing import Any

BYTES = {"FLOAT32": 4, "FLOAT16": 2, "INT32": 4, "UINT8": 1, "INT64": 8, "BOOL": 1, "INT16": 2, "INT8": 1, "FLOAT64": 8}
"""Bytes of one element of the tensor types with whole bytes."""


def schema() -> Any:
    """The generated classes of the file format."""
    from ai_edge_litert import schema_py_generated

    return schema_py_generated


@cache
def type_names() -> dict[int, str]:
    """Number of a tensor type → its name."""
    return {v: k for k, v in vars(schema().TensorType).items() if not k.startswith("_")}


@cache
def _builtin_names() -> dict[int, str]:
    return {v: k for k, v in vars(schema().BuiltinOperator).items() if not k.startswith("_")}


def type_number(name: str) -> int:
    """Number of the tensor type called `name`, such as `INT64`."""
    return int(getattr(schema().TensorType, name))


def builtin_name(flat: Any, op: Any) -> str:
    """Name of an operator's builtin, such as `CONV_2D`."""
    code = flat.operatorCodes[op.opcodeIndex]
    return _builtin_names()[max(code.builtinCode, code.deprecatedBuiltinCode)]


def read(data: Any) -> Any:
    """Unpack the bytes of a file into a `ModelT`, its constants as numpy views."""
    from ai_edge_litert.tools import flatbuffer_utils

    return flatbuffer_utils.read_model_from_bytearray(bytearray(data))


def write(flat: Any, shared: frozenset[int] | None = frozenset()) -> bytes:
    """Pack a `ModelT` into one flatbuffer: constants aligned to 16 bytes, equal small vectors stored once.

    Kernels want one zero point per channel even where all are zero. Those vectors are stored once per length for
    the lengths in `shared`, which saves 8 bytes per channel, and apart for the others. With None every vector that
    another one equals is stored once, scales too: the graphs of a file with several signatures have all of them in common.
    """
    import numpy as np

    for buffer in flat.buffers:
        buffer.offset = buffer.size = 0
        if buffer.data is not None:
            buffer.data = as_bytes(np.frombuffer(memoryview(buffer.data), np.uint8))
    builder = _builder_class()(shared, sum(b.data.nbytes for b in flat.buffers if b.data is not None) + 65536)
    builder.Finish(flat.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


@cache
def _builder_class() -> Any:
    from ai_edge_litert.tools import flatbuffer_utils

    class Builder(flatbuffer_utils.flatbuffers.Builder):  # type: ignore[misc]
        def __init__(self, shared: frozenset[int] | None, size: int) -> None:
            super().__init__(size)
            self.shared = shared
            self.known: dict[tuple[str, bytes], int] = {}

        def CreateNumpyVector(self, x: Any) -> int:
            if x.dtype.itemsize == 1:
                return _aligned_vector(self, x)
            key = (str(x.dtype), x.tobytes())
            if self.shared is not None and (x.dtype.kind == "f" or (x.dtype.itemsize == 8 and x.size not in self.shared)):
                return int(super().CreateNumpyVector(x))
            if key not in self.known:
                self.known[key] = super().CreateNumpyVector(x)
            return self.known[key]

    return Builder


def _aligned_vector(builder: Any, data: Any) -> int:
    """Write bytes as a vector whose first element lies on a multiple of 16 in the file."""
    builder.StartVector(1, data.size, 16)
    builder.head -= data.size
    builder.Bytes[builder.head : builder.head + data.size] = data.tobytes()
    builder.vectorNumElems = data.size
    return int(builder.EndVector())


def tensor_array(flat: Any, index: int) -> Any:
    """A float32 constant as an array of its own shape."""
    import numpy as np

    tensor = flat.subgraphs[0].tensors[index]
    data = np.frombuffer(bytes(flat.buffers[tensor.buffer].data), np.float32)
    return data.reshape([int(size) for size in tensor.shape] if tensor.shape is not None else [])


def as_bytes(array: Any) -> Any:
    """The content of an array as the uint8 array that a buffer holds."""
    import numpy as np

    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def new_buffer(flat: Any, array: Any) -> int:
    """Add a constant and return the index of its buffer."""
    buffer = schema().BufferT()
    buffer.data = as_bytes(array)
    flat.buffers.append(buffer)
    return len(flat.buffers) - 1


def new_tensor(flat: Any, name: str, shape: Any, kind: str, array: Any = None) -> int:
    """Add a tensor of type `kind` and return its index; a constant when `array` is given."""
    import numpy as np

    tensor = schema().TensorT()
    tensor.name = name.encode()
    tensor.shape = np.asarray(shape, np.int32)
    tensor.type = type_number(kind)
    tensor.buffer = 0 if array is None else new_buffer(flat, array)
    flat.subgraphs[0].tensors.append(tensor)
    return len(flat.subgraphs[0].tensors) - 1


def opcode(flat: Any, name: str) -> int:
    """Index of the operator code of the builtin `name`, added when the file has none."""
    number = int(getattr(schema().BuiltinOperator, name))
    for index, code in enumerate(flat.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == number:
            return index
    code = schema().OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), 1
    flat.operatorCodes.append(code)
    return len(flat.operatorCodes) - 1


def place_code(flat: Any, wanted: Any) -> int:
    """Place of another file's operator code in this one, where it is added when it is new."""

    def facts(code: Any) -> tuple[Any, ...]:
        return code.builtinCode, code.deprecatedBuiltinCode, code.customCode, code.version

    for index, code in enumerate(flat.operatorCodes):
        if facts(code) == facts(wanted):
            return index
    flat.operatorCodes.append(wanted)
    return len(flat.operatorCodes) - 1


def new_operator(flat: Any, name: str, inputs: list[int], outputs: list[int], options: Any = None) -> Any:
    """Make an operator (it is not placed yet); `options` is an options object such as `CastOptionsT`."""
    import numpy as np

    op = schema().OperatorT()
    op.opcodeIndex = opcode(flat, name)
    op.inputs, op.outputs = np.asarray(inputs, np.int32), np.asarray(outputs, np.int32)
    if options is not None:
        op.builtinOptionsType = getattr(schema().BuiltinOptions, type(options).__name__.removesuffix("T"))
        op.builtinOptions = options
    return op
