"""ONNX: a ModelProto of protobuf, whose graph holds nodes, and initializers, the tensors that they use.

Read here and not by the onnx package, which takes the whole file into memory, a tensor twice, and makes an
object of whatever the file claims: an empty node's two bytes cost it a hundred and fifty. Here messages are
walked, what is not asked for is passed over, and of tensors the places are noted.

Read too are tensors of floating-point numbers in Constant nodes, where some exporters have all weights, and
in the graphs inside nodes (If, Loop), as ``output.branch.tensor``. Not read is what stands in functions: they
take weights as inputs; and what training adds (training_info). A tensor whose entries lie in another file is
read where that lies beside this one, and refused where it is said to lie elsewhere.

The nodes tell the layout: the second operand of MatMul and Gemm is (inputs, units), unless it is transposed;
that of Conv is (units, inputs, *kernel), and those of LSTM, GRU and RNN (directions, units, inputs). As names
are often the exporter's, the nodes also tell biases, tables, and what only bounds or replaces other entries.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..scan import BLOCK
from .protocol import CUT, HEADER, TENSORS, Block, Bytes, Source, Unreadable, printable, register
from .raw import NUMBERS, WHOLE, Numbers, blocks_of_array, tensor
from .shards import beside

# The numbers of fields, from onnx.proto. A field that is not named here is passed over.
MODEL = {7: "graph", 8: "opset_import"}
GRAPH = {1: "node", 5: "initializer", 15: "sparse_initializer"}
NODE = {1: "input", 2: "output", 4: "op_type", 5: "attribute"}
ATTRIBUTE = {1: "name", 3: "i", 5: "t", 6: "g"}
TENSOR = {
    1: "dims", 2: "data_type", 4: "float_data", 5: "int32_data", 8: "name", 9: "raw_data", 10: "double_data",
    13: "external_data", 14: "data_location",
}  # fmt: skip
SPARSE = {1: "values", 3: "dims"}
ENTRY = {1: "key", 2: "value"}
WHOLE_NUMBERS = {"dims", "data_type", "data_location", "i"}
VARINT, DELIMITED, FIXED = 0, 2, {1: 8, 5: 4}  # the kinds of fields
EXTERNAL = 1  # data_location: in another file
# By TensorProto.DataType.
FLOATS = {1: "F32", 10: "F16", 11: "F64", 16: "BF16", 17: "F8_E4M3", 19: "F8_E5M2"}
INTEGERS = {2, 3, 4, 5, 6, 7, 9, 12, 13, 21, 22, 25, 26}
# Whose integers are weights: QLinearConv, DequantizeLinear, MatMulInteger, MatMulNBits.
QUANTIZED = re.compile(r"^Q[A-Z]|[Qq]uant|Integer|NBits")
# What the operands of a node are for, in order: weights, or one of ``roles.OF_GRAPH``.
_RECURRENT = ("", "weight", "weight", "bias", "", "buffer", "buffer")
OPERANDS = {
    "MatMul": ("", "weight"), "Gemm": ("", "weight", "bias"), "Conv": ("", "weight", "bias"),
    "ConvTranspose": ("", "", "bias"), "LSTM": _RECURRENT, "GRU": _RECURRENT, "RNN": _RECURRENT,
    "Gather": ("embedding",), "Where": ("", "buffer", "buffer"), "Clip": ("", "buffer", "buffer"),
    "Max": ("buffer", "buffer"), "Min": ("buffer", "buffer"),
}  # fmt: skip
# Bytes of HEADER that each number and message is charged, in proportion to its parsing time: using all of
# HEADER takes seconds.
NUMBER, MESSAGE = 8, 64
CHUNK = 2**14  # bytes that are read at once
KEPT = 64  # values that are kept of a field of a node or a tensor that repeats; NumPy has as many axes


class _Noted(NamedTuple):
    """A tensor, as its message says: in which graph, called what, with which fields."""

    where: str
    name: str
    fields: dict[str, list]
    sparse: dict[str, list] | None = None
    is_constant: bool = False


class _Model:
    """What the messages say: the tensors, and what the nodes do with them."""

    def __init__(self, path: Path, data: Bytes, stack: ExitStack):
        self.path, self.data, self.stack = path, data, stack
        self.left = HEADER
        self.base, self.chunk = 0, bytearray()  # where what was read last begins, and what it is
        self.tensors: list[_Noted] = []
        self.units_last: dict[str, bool | None] = {}  # of what nodes use as a weight; None: both
        self.roles: dict[str, str] = {}  # of what they use otherwise
        self.recurrent, self.quantized = set(), set()
        self.beside: dict[str, Bytes] = {}  # the files that tensors lie in

    def fields(self, span: tuple[int, int], names: dict[int, str]) -> Iterator[tuple[str, int | tuple]]:
        """The named fields of the message in ``span``: whole numbers, and where in the file others lie."""
        at, end = span
        while at < end:
            key, begin = self._number(at)
            name, kind = names.get(key >> 3), key & 7
            if kind == VARINT:
                value, begin = self._number(begin)
                size = 0
            elif kind == DELIMITED:
                size, begin = self._number(begin)
            elif kind in FIXED:
                size = FIXED[kind]
            else:
                raise Unreadable(f"{self.path.name} is damaged: it has a field of no kind")
            at = begin + size
            if at > end:
                raise Unreadable(CUT)
            if kind == VARINT and name in WHOLE_NUMBERS:
                yield name, value
            elif kind == DELIMITED and name in WHOLE_NUMBERS:  # several of them, packed
                while begin < at:
                    value, begin = self._number(begin)
                    yield name, value
            elif kind == DELIMITED and name:
                yield name, (begin, at)

    def message(self, span: tuple[int, int], names: dict[int, str]) -> dict[str, list]:
        """All of the named fields of a small message."""
        self._pay(MESSAGE)
        found = {name: [] for name in names.values()}
        for name, value in self.fields(span, names):
            if len(found[name]) < KEPT:
                found[name].append(value)
        return found

    def text(self, spans: list[tuple[int, int]]) -> str:
        """The last of some strings, as it can be printed; "" where there is none."""
        begin, end = spans[-1] if spans else (0, 0)
        self._pay(end - begin)
        return printable(self._bytes(begin, end - begin).decode(errors="replace"))

    def _number(self, at: int) -> tuple[int, int]:
        """A number, whose bytes have seven bits each, from the lowest to the highest; and where it ends."""
        self._pay(NUMBER)
        value = 0
        for k, byte in enumerate(self._bytes(at, min(10, self.data.size - at))):
            value |= (byte & 127) << 7 * k
            if byte < 128:
                return value, at + k + 1
        raise Unreadable(CUT)

    def _bytes(self, at: int, count: int) -> bytearray:
        start = at - self.base
        if count and not 0 <= start <= len(self.chunk) - count:
            self.base, start = at, 0
            self.chunk = self.data.read(at, min(max(count, CHUNK), self.data.size - at))
        return self.chunk[start : start + count]

    def _pay(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise Unreadable(f"{self.path.name} has more nodes and names than are read of a graph")

    def graph(self, span: tuple[int, int], where: str = "") -> None:
        """Note the tensors, and what the nodes do. ``where``: what the names of tensors begin with."""
        for field, value in self.fields(span, GRAPH):
            if field == "node":
                self._node(value, where)
            elif field == "initializer":
                self._note(where, self.message(value, TENSOR))
            else:
                sparse = self.message(value, SPARSE)
                for values in sparse["values"]:
                    self._note(where, self.message(values, TENSOR), sparse)

    def _note(self, where: str, fields: dict, sparse: dict | None = None, is_constant: bool = False) -> None:
        self.tensors.append(_Noted(where, self.text(fields["name"]), fields, sparse, is_constant))
        if len(self.tensors) > TENSORS:
            raise Unreadable(f"{self.path.name} holds more than {TENSORS} tensors")

    def _node(self, span: tuple[int, int], where: str) -> None:
        node = self.message(span, NODE)
        op = self.text(node["op_type"])
        said = [self.message(attribute, ATTRIBUTE) for attribute in node["attribute"]]
        attributes = {self.text(one["name"]): one for one in said}
        for name, one in attributes.items():
            for value in one["t"]:
                if op == "Constant":
                    fields = self.message(value, TENSOR) | {"name": node["output"]}
                    self._note(where, fields, is_constant=True)
            for graph in one["g"]:
                self.graph(graph, f"{where}{self.text(node['output'][:1])}.{name}.")
        if QUANTIZED.search(op):
            names = [self.text([operand]) for operand in node["input"]]
            self.quantized.update(names)
            self.roles.update(dict.fromkeys(names[1:], "quantization"))  # scales
        turned = "transB" in attributes and attributes["transB"]["i"][-1:] == [1]
        last = op in ("MatMul", "Gemm") and not turned
        for use, operand in zip(OPERANDS.get(op, ()), node["input"], strict=False):
            name = self.text([operand]) if use else ""
            if use == "weight":
                self.units_last[name] = last if self.units_last.get(name, last) == last else None
                if OPERANDS[op] is _RECURRENT:
                    self.recurrent.add(name)
            elif use:
                self.roles[name] = use

    def sources(self) -> Iterator[Source]:
        """The tensors that were noted, but no Constants of one entry or of integers, which are shapes."""
        for where, name, fields, sparse, is_constant in self.tensors:
            full, shape = where + name, tuple((sparse or fields)["dims"])
            kind = fields["data_type"][-1] if fields["data_type"] else 0
            quantized = kind in INTEGERS and name in self.quantized
            if is_constant and (math.prod(shape) < 2 or not (quantized or kind in FLOATS)):
                continue
            if sparse or quantized:
                yield Source(full, shape, False, 0, None, unread="sparse" if sparse else "quantized")
            elif kind not in FLOATS:
                yield Source.of_others(full, shape, kind in INTEGERS)
            else:
                yield self._used(name, self._source(full, shape, kind, fields))

    def _source(self, name: str, shape: tuple[int, ...], kind: int, fields: dict) -> Source:
        numbers = NUMBERS[FLOATS[kind]]
        if fields["data_location"][-1:] == [EXTERNAL]:
            entries = [self.message(entry, ENTRY) for entry in fields["external_data"]]
            said = {self.text(entry["key"]): self.text(entry["value"]) for entry in entries}
            data = self._beside(said.get("location", ""))
            return tensor(name, shape, numbers, data, int(said.get("offset", 0)))
        packed = {"F32": "float_data", "F64": "double_data"}.get(FLOATS[kind], "int32_data")
        begin, end = next((fields[field][-1] for field in ("raw_data", packed) if fields[field]), (0, 0))
        count, nbytes = math.prod(shape), math.prod(shape) * numbers.dtype.itemsize
        if packed == "int32_data" and not fields["raw_data"] and end > begin:
            blocks = partial(_unpacked, self.data.part(begin, end - begin), count, numbers)
            return Source(name, shape, False, nbytes, blocks, numbers.epsilon)
        if end - begin != nbytes:
            raise Unreadable(f"{name} has shape {shape}, and {end - begin} bytes of numbers")
        return tensor(name, shape, numbers, self.data, begin)

    def _beside(self, location: str) -> Bytes:
        if location not in self.beside:
            file = self.stack.enter_context(open(beside(self.path, location), "rb", buffering=0))  # noqa: SIM115
            self.beside[location] = Bytes(file, 0, os.fstat(file.fileno()).st_size)
            self.data.more += self.beside[location].size
        return self.beside[location]

    def _used(self, name: str, source: Source) -> Source:
        """``source`` with what the nodes say: its layout, where it is a layer's weight; else its role."""
        axes, role = len(source.shape), self.roles.get(name)
        if name not in self.units_last:
            # A table has rows; what is gathered from a vector or a stack may be anything.
            return source if role == "embedding" and axes != 2 else replace(source, role=role)
        units_last = self.units_last[name]
        if units_last is None or axes < 2 or (units_last and axes > 2):
            return source
        layer = source.shape[1:] if name in self.recurrent and axes == 3 else source.shape
        return replace(source, units_last=units_last, layer=layer, told=True)


def _unpacked(data: Bytes, count: int, numbers: Numbers, matrix: tuple[int, int]) -> Iterator[Block]:
    """Blocks of ``count`` numbers whose bits protobuf has as whole numbers, in one to three bytes each."""
    if count * numbers.dtype.itemsize > WHOLE:
        raise Unreadable("it is too large to be read from int32_data: save it as raw_data")
    bits, have, at = np.empty(count, f"<u{numbers.dtype.itemsize}"), 0, 0
    while at < data.size:
        part = np.frombuffer(data.read(at, min(BLOCK, data.size - at)), np.uint8).astype(np.uint32)
        last = np.flatnonzero(part < 128)  # where numbers end: their last byte, the highest, is below 128
        if not len(last) or have + len(last) > count:
            break
        first = np.append(0, last[:-1] + 1)
        byte = [np.where(first + k <= last, part[np.minimum(first + k, last)] & 127, 0) for k in range(3)]
        bits[have : have + len(last)] = byte[0] | byte[1] << 7 | byte[2] << 14
        have, at = have + len(last), at + last[-1] + 1
    if have < count or at < data.size:
        raise Unreadable("its shape and its int32_data do not agree")
    yield from blocks_of_array(numbers.of(bits.view(numbers.dtype)), matrix)


# ir_version, and the producer's name, or its version, or the graph. Core ML's models begin alike, with a
# message in the name's place, and TensorFlow's with a version of 1, which no released ONNX had.
@register(".onnx", begins=rb"\x08[\x03-\x7f](\x12.[\x1a -~]|[\x1a:][^\0])")
def read(path: Path, data: Bytes, stack: ExitStack) -> list[Source]:
    """The initializers of the graph, and of graphs in its nodes, and what Constant nodes hold."""
    model, seen = _Model(path, data, stack), set()
    for field, value in model.fields((0, data.size), MODEL):
        seen.add(field)
        if field == "graph":
            model.graph(value)
    if missing := sorted(set(MODEL.values()) - seen):
        raise Unreadable(f"{path.name} is cut short, or no ONNX: it has no {' and no '.join(missing)}")
    return list(model.sources())
