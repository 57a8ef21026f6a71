"""Writes networks of convolutions as ONNX files (protocol buffers, opset 11), so that no exporter is needed.

Field numbers are those of onnx.proto3 of the ONNX specification.
"""

import struct
from pathlib import Path

import numpy as np

from ..scene.checkpoint import replace_atomically

IR_VERSION, OPSET = 7, 11
FLOAT, FLOAT16, INT64 = 1, 10, 7


class Graph:
    """Nodes and weights in order of execution; every method returns the name of its result."""

    def __init__(self, half: bool = True):
        self.half = half  # store weights in half precision: OpenCV widens them when it reads the file
        self.nodes: list[bytes] = []
        self.tensors: list[bytes] = []
        self.inputs: list[bytes] = []
        self.outputs: list[bytes] = []
        self.count = 0

    def input(self, name: str, channels: int) -> str:
        """A map (1, channels, any, any)."""
        self.inputs.append(_value(name, channels))
        return name

    def output(self, name: str, of: str, channels: int) -> None:
        """Name ``of`` as a result of the whole graph."""
        self.nodes.append(_node("Identity", [of], name))
        self.outputs.append(_value(name, channels))

    def conv(self, x: str, weight: np.ndarray, bias: np.ndarray, stride: int = 1) -> str:
        """2D convolution with weight (out, in, k, k), padded by k // 2."""
        k = weight.shape[-1]
        names = [x, self._tensor(weight), self._tensor(bias)]
        attributes = [_ints("kernel_shape", [k, k]), _ints("strides", [stride] * 2), _ints("pads", [k // 2] * 4)]
        return self._add("Conv", names, attributes)

    def relu(self, x: str) -> str:
        return self._add("Relu", [x])

    def add(self, a: str, b: str) -> str:
        return self._add("Add", [a, b])

    def double(self, x: str) -> str:
        """Each pixel becomes four."""
        nothing = self._tensor(np.zeros(0, np.float32), constant=True)
        scales = self._tensor(np.array([1, 1, 2, 2], np.float32), constant=True)
        attributes = [_text("mode", "nearest"), _text("coordinate_transformation_mode", "asymmetric")]
        return self._add("Resize", [x, nothing, scales], [*attributes, _text("nearest_mode", "floor")])

    def write(self, path: Path, name: str, about: dict[str, str]) -> None:
        """The model file; ``about`` goes into its metadata."""
        graph = b"".join(_bytes(1, n) for n in self.nodes) + _bytes(2, name.encode())
        graph += b"".join(_bytes(5, t) for t in self.tensors)
        graph += b"".join(_bytes(11, v) for v in self.inputs) + b"".join(_bytes(12, v) for v in self.outputs)
        model = _integer(1, IR_VERSION) + _bytes(2, b"geo4d") + _bytes(7, graph) + _bytes(8, _integer(2, OPSET))
        for key, value in about.items():
            model += _bytes(14, _bytes(1, key.encode()) + _bytes(2, value.encode()))
        replace_atomically(Path(path), lambda temporary: temporary.write_bytes(model))

    def _add(self, kind: str, inputs: list[str], attributes=()) -> str:
        self.count += 1
        name = f"{kind.lower()}{self.count}"
        self.nodes.append(_node(kind, inputs, name, attributes))
        return name

    def _tensor(self, value: np.ndarray, constant: bool = False) -> str:
        name = f"{'constant' if constant else 'weight'}{len(self.tensors)}"
        half = self.half and not constant
        value = np.ascontiguousarray(value, dtype="<f2" if half else "<f4")
        dims = b"".join(_integer(1, n) for n in value.shape)
        kind = _integer(2, FLOAT16 if half else FLOAT)
        self.tensors.append(dims + kind + _bytes(8, name.encode()) + _bytes(9, value.tobytes()))
        return name


def read_about(path: Path) -> dict[str, str]:
    """Metadata of a model file. Raises ValueError for a file that is none."""
    about = {}
    for field, value in _fields(Path(path).read_bytes()):
        if field == 14 and isinstance(value, bytes):
            pair = dict(_fields(value))
            about[pair[1].decode()] = pair[2].decode()
    return about


def read_tensors(path: Path) -> list[np.ndarray]:
    """Weights of a model file in the order that they were written, float32; no constants of the graph."""
    graph = dict(_fields(Path(path).read_bytes()))[7]
    out = []
    for field, value in _fields(graph):
        if field == 5:
            parts = list(_fields(value))
            shape = [v for f, v in parts if f == 1]
            one = dict(parts)
            if not one[8].startswith(b"weight"):
                continue
            kind = {FLOAT: "<f4", FLOAT16: "<f2"}[one[2]]
            out.append(np.frombuffer(one[9], dtype=kind).astype(np.float32).reshape(shape))
    return out


def _varint(value: int) -> bytes:
    out = bytearray()
    while True:
        out.append((value & 0x7F) | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(out)


def _integer(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _ints(name: str, values: list[int]) -> bytes:
    return _bytes(1, name.encode()) + b"".join(_integer(8, v) for v in values) + _integer(20, INT64)


def _text(name: str, value: str) -> bytes:
    return _bytes(1, name.encode()) + _bytes(4, value.encode()) + _integer(20, 3)


def _node(kind: str, inputs: list[str], output: str, attributes=()) -> bytes:
    out = b"".join(_bytes(1, i.encode()) for i in inputs) + _bytes(2, output.encode()) + _bytes(3, output.encode())
    return out + _bytes(4, kind.encode()) + b"".join(_bytes(5, a) for a in attributes)


def _value(name: str, channels: int) -> bytes:
    dims = _integer(1, 1), _integer(1, channels), _bytes(2, b"height"), _bytes(2, b"width")
    shape = b"".join(_bytes(1, d) for d in dims)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, _integer(1, FLOAT) + _bytes(2, shape)))


def _fields(data: bytes):
    """(field, value) pairs of one message."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            if at >= len(data):
                raise ValueError("the file ends in the middle of a field")
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        elif key & 7 == 2:
            size = varint()
            if at + size > len(data):
                raise ValueError("the file ends in the middle of a field")
            yield key >> 3, data[at : at + size]
            at += size
        elif key & 7 == 5:
            yield key >> 3, struct.unpack_from("<f", data, at)[0]
            at += 4
        else:
            raise ValueError(f"unknown wire type {key & 7}")
