"""What a pickle describes, read step by step: nothing that it names is imported, built or called.

Each object is told by what the pickle says of it: what would make it, of which arguments, and what it would
then hold. So a whole module, an ``argparse.Namespace`` or an object of a class that is not installed is read
for its tensors, and a pickle that was made to run something runs nothing.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass, field
from typing import BinaryIO

from .protocol import Unreadable

STEPS = 2**21  # of a pickle

# A pickle that names one of these modules wants to run something. Nothing runs: it is refused with a warning.
_DOERS = {
    "os", "posix", "nt", "sys", "io", "_io", "subprocess", "_posixsubprocess", "shutil", "socket", "runpy",
    "pty", "importlib", "ctypes", "_ctypes", "code", "webbrowser", "pickle", "_pickle", "marshal", "pdb",
}  # fmt: skip
_BUILTINS = {
    "object", "set", "frozenset", "list", "dict", "tuple", "int", "float", "complex", "bool", "str", "bytes",
    "bytearray", "slice", "range", "type", "getattr", "Ellipsis", "NotImplemented", "super", "property",
    "len", "sum", "min", "max", "abs", "round", "sorted", "print",
    "long", "unicode", "xrange",  # Python 2's
}  # fmt: skip

# Functions of PyTorch that take a tensor and give it back.
_AROUND = {
    f"torch._utils._rebuild_{what}" for what in (
        "parameter", "parameter_with_state", "device_tensor_from_numpy", "device_tensor_from_cpu_tensor"
    )
}  # fmt: skip
# Steps that push the value that stands in the file.
_CONSTANTS = {
    op.name for op in pickletools.opcodes
    if op.arg and not op.stack_before and len(op.stack_after) == 1
    and not op.name.startswith(("GLOBAL", "INST", "PERSID", "EXT", "GET", "BINGET", "LONG_BINGET"))
}  # fmt: skip
_EMPTY = {"EMPTY_LIST": "list", "LIST": "list", "EMPTY_DICT": "dict", "DICT": "dict", "EMPTY_SET": "set"}
_FIXED = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}


@dataclass(eq=False)  # an object may contain itself, so that only its identity can be compared
class Told:
    """An object that a pickle describes.

    Attributes
    ----------
    what : str
        What would make it: "builtins.list", "torch.nn.modules.linear.Linear"; "" for a persistent id.
    args : tuple
        What that would be called with.
    items, pairs : list
        What it would be filled with, as a list or a set, and as a dict: (key, value).
    state : object
        What it would then be set to, mostly a dict of its attributes.
    """

    what: str
    args: tuple = ()
    items: list = field(default_factory=list)
    pairs: list[tuple] = field(default_factory=list)
    state: object = None


def told(file: BinaryIO) -> object:
    """What the next pickle in ``file`` describes: numbers, strings, tuples, and ``Told`` for all else.

    Raises
    ------
    Unreadable
        For a pickle that names what runs commands or opens files, and for one that is too long.
    ValueError, IndexError, …
        For bytes that are no pickle.
    """
    stack: list = []
    marks: list[int] = []
    memo: dict[int, object] = {}

    def since_mark() -> list:
        at = marks.pop()
        part = stack[at:]
        del stack[at:]
        return part

    for step, (op, argument, _) in enumerate(pickletools.genops(file)):
        name = op.name
        if step > STEPS:
            raise Unreadable(f"it holds more than {STEPS} steps of a pickle")
        if name in _CONSTANTS:
            stack.append(argument)
        elif name in _FIXED:
            stack.append(_FIXED[name])
        elif name == "MARK":
            marks.append(len(stack))
        elif name in ("LIST", "EMPTY_LIST", "DICT", "EMPTY_DICT", "EMPTY_SET", "FROZENSET"):
            made = Told("builtins." + _EMPTY.get(name, "frozenset"))
            inside = [] if name.startswith("EMPTY") else since_mark()
            _fill(made, inside, as_pairs=name == "DICT")
            stack.append(made)
        elif name in ("APPEND", "SETITEM"):
            count = 1 if name == "APPEND" else 2
            inside = stack[-count:]
            del stack[-count:]
            _fill(stack[-1], inside, as_pairs=count == 2)
        elif name in ("APPENDS", "ADDITEMS", "SETITEMS"):
            inside = since_mark()
            _fill(stack[-1], inside, as_pairs=name == "SETITEMS")
        elif name in ("TUPLE", "EMPTY_TUPLE"):
            stack.append(tuple(since_mark()) if name == "TUPLE" else ())
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            stack[-count:] = [tuple(stack[-count:])]
        elif name == "GLOBAL":
            stack.append(_named(*argument.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            stack[-2:] = [_named(*stack[-2:])]
        elif name == "INST":
            stack.append(Told(_named(*argument.split(" ", 1)).args[0], tuple(since_mark())))
        elif name == "OBJ":
            what, *args = since_mark()
            stack.append(_made(what, tuple(args)))
        elif name in ("REDUCE", "NEWOBJ"):
            what, args = stack[-2:]
            stack[-2:] = [_made(what, args)]
        elif name == "NEWOBJ_EX":
            what, args, named = stack[-3:]
            stack[-3:] = [_made(what, (*args, named))]
        elif name == "BUILD":
            state = stack.pop()
            stack[-1].state = state
        elif name == "BINPERSID":
            stack[-1] = Told("", stack[-1] if isinstance(stack[-1], tuple) else ())
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if name == "MEMOIZE" else argument] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "DUP":
            stack.append(stack[-1])
        elif name == "POP":
            stack.pop()
        elif name == "POP_MARK":
            since_mark()
        elif name == "STOP":
            return stack.pop()
        elif name not in ("PROTO", "FRAME"):
            raise Unreadable(f"it asks for more than tensors ({name})")
    raise Unreadable("it ends within a pickle")


def _named(module: str, name: str) -> Told:
    """What stands for a class or function of this name: ``what`` is "a name" until a call makes something."""
    module, name = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, str(module)), str(name)
    if module.split(".")[0] in _DOERS or (module == "builtins" and name not in _BUILTINS):
        raise Unreadable(
            f"it asks for {module}.{name}, which no weights need: nothing was run, do not load it elsewhere"
        )
    if module.endswith("joblib.numpy_pickle"):  # whose arrays' bytes stand between the steps
        raise Unreadable("joblib.dump wrote it: if you trust it, joblib.load it and np.savez its arrays")
    return Told("a name", (f"{module}.{name}",))


def is_name(value: object) -> bool:
    """Whether it is a class or a function, named and not called."""
    return isinstance(value, Told) and value.what == "a name"


def _made(what: object, args: object) -> object:
    """What a call of ``what`` makes of ``args``; what copyreg and PyTorch put around it is left out."""
    if not is_name(what) or not isinstance(args, tuple):
        return Told("a call")
    name = what.args[0]
    if name == "copyreg._reconstructor" and args and is_name(args[0]):
        return Told(args[0].args[0])
    if name == "torch._tensor._rebuild_from_type_v2" and len(args) == 4:
        return _made(args[0], args[2])
    if name == "builtins.bytearray" and args and isinstance(args[0], int):
        raise Unreadable(f"it asks for a bytearray of {args[0]} bytes, which no weights need: do not load it")
    if name in _AROUND and args:
        return args[0]
    if name == "_codecs.encode" and args[1:] == ("latin1",) and isinstance(args[0], str):
        return args[0].encode("latin1")  # bytes, in a protocol that has none
    return Told(name, args)


def _fill(into: object, inside: list, as_pairs: bool) -> None:
    if not isinstance(into, Told):
        raise Unreadable("it fills what cannot be filled")
    if as_pairs:
        into.pairs += zip(inside[::2], inside[1::2], strict=True)
    else:
        into.items += inside
