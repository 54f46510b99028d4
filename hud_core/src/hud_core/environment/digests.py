"""Digests of code, to tell which earlier rollouts still hold.

A function's digest covers what it calls as far as that stands beside it: functions, classes and modules below the
directory of its file, and constants. Comments and layout do not count. Where there is no source, byte code stands in.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
import textwrap
import types
from collections import ChainMap
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_CONSTANTS = (str, int, float, bool, bytes, tuple, frozenset, type(None))
_STRAIGHT = (ast.AsyncFunctionDef, ast.With, ast.AsyncWith, ast.Try)


class Digests(NamedTuple):
    """Digests of a scenario's code: up to its first yield, and from there on."""

    setup: str
    grading: str


def digest(*parts: str | bytes) -> str:
    """Give a short digest of some text."""
    data = [part.encode() if isinstance(part, str) else part for part in parts]
    return hashlib.sha256(b"\0".join([*data, b""])).hexdigest()[:16]  # at once: each `update` takes 0.5 us


def code_digest(function: Callable[..., object]) -> str:
    """Give a digest of a function's code and of what it uses."""
    tree = _tree(function)
    if tree is None:
        return digest(_byte_code(function))
    return digest(*_texts([tree], function))


def scenario_digests(function: Callable[..., object]) -> Digests:
    """Give the digests of the two halves of a scenario.

    Where its first yield does not come in a straight line, in a branch or a loop, each half covers the whole: what
    comes after a yield may then come before another.
    """
    tree = _tree(function)
    if not isinstance(tree, ast.AsyncFunctionDef):
        whole = code_digest(function)
        return Digests(whole, whole)
    before, after = _halves(tree)
    head = [*tree.decorator_list, tree.args]
    return Digests(digest(*_texts([*head, *before], function)), digest(*_texts(after, function)))


def _tree(function: Callable[..., object]) -> ast.stmt | None:
    """Parse the source of a function; None where there is none."""
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError):  # typed into a prompt, built in, or a lambda in the middle of a line
        return None


# --- the halves of a scenario -----------------------------------------------------------------------------------------


def _halves(tree: ast.AsyncFunctionDef) -> tuple[Sequence[ast.AST], Sequence[ast.AST]]:
    """Split statements behind the one that holds the first yield; both halves are everything if that is not safe."""
    before: list[ast.AST] = []
    after: list[ast.AST] = []
    if _split(tree, before, after):
        return before, after
    return tree.body, tree.body


def _split(block: ast.AST, before: list[ast.AST], after: list[ast.AST]) -> bool:
    """Split the block that holds the first yield; a ``with`` around it is setup, an ``except`` is grading."""
    body: list[ast.stmt] = getattr(block, "body", [])
    place = next((number for number, statement in enumerate(body) if _yields(statement)), None)
    if place is None:
        return False
    before += [*getattr(block, "items", ()), *body[:place]]
    holder = body[place]
    if isinstance(holder, _STRAIGHT):
        if not _split(holder, before, after):
            return False
    elif isinstance(holder, ast.Expr | ast.Assign | ast.AnnAssign) and not _yields_in_branch(holder):
        before.append(holder)
    else:
        return False
    after += body[place + 1 :]
    for part in ("handlers", "orelse", "finalbody"):
        after += getattr(block, part, ())
    return True


def _yields_in_branch(statement: ast.stmt) -> bool:
    branches = (node for node in ast.walk(statement) if isinstance(node, ast.IfExp | ast.BoolOp))
    return any(_yields(branch) for branch in branches)


def _yields(node: ast.AST) -> bool:
    """Whether a node yields itself, not in a function inside it."""
    if isinstance(node, ast.Yield):
        return True
    inner = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef | ast.GeneratorExp
    return not isinstance(node, inner) and any(_yields(child) for child in ast.iter_child_nodes(node))


# --- what code uses ---------------------------------------------------------------------------------------------------


def _texts(nodes: Sequence[ast.AST], function: Callable[..., object]) -> Iterator[str]:
    """Give the text of code, and of what it uses."""
    plain = inspect.unwrap(function)
    while hasattr(plain, "func"):
        plain = plain.func
    home = Path(inspect.getsourcefile(plain) or "").parent
    yield from _used(nodes, _namespace(plain), home, set())


def _used(nodes: Sequence[ast.AST], names: Mapping[str, object], home: Path, seen: set[int]) -> Iterator[str]:
    yield from (ast.unparse(node) for node in nodes)
    for name in sorted({inner.id for node in nodes for inner in ast.walk(node) if isinstance(inner, ast.Name)}):
        value = names.get(name)
        if name in names and isinstance(value, _CONSTANTS):
            yield f"{name} = {_constant(value)}"
        elif isinstance(value, types.FunctionType | type | types.ModuleType) and id(value) not in seen:
            seen.add(id(value))
            yield from _used_object(value, home, seen)


def _used_object(value: types.FunctionType | type | types.ModuleType, home: Path, seen: set[int]) -> Iterator[str]:
    try:
        file = Path(inspect.getsourcefile(value) or "")
        if home not in file.parents or "site-packages" in file.parts:
            return
        tree = ast.parse(textwrap.dedent(inspect.getsource(value)))
    except (OSError, TypeError, SyntaxError):  # as in `_tree`
        return
    yield from _used([tree], _namespace(value), home, seen)


def _namespace(value: object) -> Mapping[str, object]:
    """Give the names that code can see: those of the functions around it, then those of its module."""
    if isinstance(value, types.ModuleType):
        return {}
    if not isinstance(value, types.FunctionType):
        return vars(sys.modules.get(getattr(value, "__module__", ""), object()))
    around = {}
    for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
        try:
            around[name] = cell.cell_contents
        except ValueError:  # assigned later
            continue
    return ChainMap(around, value.__globals__)


def _byte_code(value: object) -> str:
    """Give byte code as text that is the same in every process."""
    if isinstance(value, types.CodeType):
        constants = [_byte_code(constant) for constant in value.co_consts]
        return repr((value.co_code, value.co_names, value.co_varnames, constants))
    if isinstance(value, _CONSTANTS):
        return _constant(value)
    code = getattr(value, "__code__", None)
    return type(value).__name__ if code is None else _byte_code(code)


def _constant(value: object) -> str:
    """Give a constant as text that is the same in every process: sets are in another order in each."""
    if isinstance(value, tuple):
        return f"({', '.join(map(_constant, value))})"
    if isinstance(value, frozenset):
        return f"{{{', '.join(sorted(map(_constant, value)))}}}"
    return repr(value)
