"""Tools that a model knows by itself: a vendor's own computer, shell or editor, and tools that run at the vendor's.

An environment marks a tool in its ``meta``: ``{"native_tools": {"claude": {"api_type": "bash_20250124", "api_name":
"bash", "role": "shell"}}}``, by the agent's type one specification or a list of which the first that supports the model
counts. A tool without a fitting one is an ordinary function tool.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from hud_core.model.tools import Tool

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


META = "native_tools"


@frozen(kw_only=True)
class NativeTool:
    """A tool in the form that one vendor's models were trained on."""

    api_type: str
    """What the vendor calls this kind of tool, such as ``bash_20250124``."""
    api_name: str = ""
    """The name that the model calls it by; the tool's own name where it is empty."""
    beta: str | None = None
    """The vendor's beta flag that the tool needs."""
    hosted: bool = False
    """Whether the vendor runs it, so that no call ever reaches the environment."""
    role: str | None = None
    """What it is for, such as ``computer`` or ``shell``: a model is offered one tool of a role."""
    supported_models: tuple[str, ...] = ()
    """`fnmatch` patterns of models, in lower case; none is all."""
    extra: dict[str, Any] = field(factory=dict)
    """Further fields of the vendor's form."""
    tool: Tool | None = None
    """The environment's tool."""

    @property
    def name(self) -> str:
        """The name that the model calls it by."""
        return self.api_name or (self.tool.name if self.tool else self.api_type)

    def supports(self, model: str) -> bool:
        """Whether a model knows it."""
        return not self.supported_models or any(fnmatchcase(model.lower(), kind) for kind in self.supported_models)


@frozen(kw_only=True)
class Offer:
    """What a model is offered of a toolbox."""

    functions: tuple[Tool, ...]
    native: tuple[NativeTool, ...] = ()

    @property
    def tools(self) -> tuple[Tool, ...]:
        """All of the environment's tools that are offered, in either form."""
        return (*(form.tool for form in self.native if form.tool is not None), *self.functions)


def offer(tools: Sequence[Tool], agent_type: str, model: str, known: Mapping[str, NativeTool] | None = None) -> Offer:
    """Choose the form in which a model is offered each tool.

    Native tools come first; then function tools, without those that do the same as one that is offered already: of one
    role, or of a native tool's name. A tool that only runs at another vendor's is not offered at all.

    Args:
        tools: What the toolbox lists.
        agent_type: The agent's key in ``native_tools``.
        model: The model's name.
        known: Native forms of tools that carry no such mark, by their well-known names.
    """
    native: dict[str, NativeTool] = {}
    taken: set[str] = set()  # roles and native names share it: "computer" the role and "computer" the name mean one
    for tool in tools:
        form = _native_form(tool, agent_type, model, known or {})
        if form is not None and not taken & _claims(form):
            native[tool.name] = form
            taken |= _claims(form)
    functions = []
    for tool in tools:
        if tool.name in native or _is_elsewhere(tool) or taken & {tool.name, *_roles(tool)}:
            continue
        functions.append(tool)
        taken |= _roles(tool)
    return Offer(functions=tuple(functions), native=tuple(native.values()))


def is_computer(tool: Tool) -> bool:
    """Whether a tool operates a screen: by its role, or by its name where it has none."""
    return "computer" in _roles(tool) or tool.name.lower() == "computer" or tool.name.lower().endswith("_computer")


def _native_form(tool: Tool, agent_type: str, model: str, known: Mapping[str, NativeTool]) -> NativeTool | None:
    marked = tool.meta.get(META)
    if not isinstance(marked, Mapping):
        form = known.get(tool.name)
        return _of(form, tool) if form is not None and form.supports(model) else None
    forms = (_of(form, tool) for form in _read(marked.get(agent_type)))
    return next((form for form in forms if form.supports(model)), None)


def _of(form: NativeTool, tool: Tool) -> NativeTool:
    return evolve(form, tool=tool)


def _read(marked: object) -> Iterator[NativeTool]:
    """Read specifications; what is none is passed over: it comes from whichever server offers the tool."""
    for form in marked if isinstance(marked, list | tuple) else (marked,):
        if isinstance(form, Mapping) and isinstance(form.get("api_type"), str):
            yield NativeTool(
                api_type=form["api_type"],
                api_name=str(form.get("api_name") or ""),
                beta=form.get("beta"),
                hosted=bool(form.get("hosted")),
                role=form.get("role"),
                supported_models=tuple(str(kind).lower() for kind in form.get("supported_models") or ()),
                extra=dict(form.get("extra") or {}),
            )


def _all(tool: Tool) -> list[NativeTool]:
    marked = tool.meta.get(META)
    return [form for forms in marked.values() for form in _read(forms)] if isinstance(marked, Mapping) else []


def _roles(tool: Tool) -> set[str]:
    return {form.role for form in _all(tool) if form.role}


def _claims(form: NativeTool) -> set[str]:
    return {form.name, *([form.role] if form.role else [])}


def _is_elsewhere(tool: Tool) -> bool:
    """Whether a tool only ever runs at a vendor's, so that to call it here is a mistake."""
    forms = _all(tool)
    return bool(forms) and all(form.hosted for form in forms)
