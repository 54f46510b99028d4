"""The operations of an OpenAPI document: their tools, and the requests that calls make."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import attrs
from attrs import frozen

from hud_core.errors import ConfigError, HudError
from hud_core.model.tools import Tool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
JSON_TYPE = "application/json"
FORM_TYPE = "application/x-www-form-urlencoded"
MULTIPART_TYPE = "multipart/form-data"
_SCHEMAS = "#/components/schemas/"
_REF_LIMIT = 100


class WrongArgumentsError(HudError):
    """Arguments that an operation does not take."""


@frozen(kw_only=True)
class Parameter:
    """A parameter of an operation: where it goes, and how."""

    name: str
    argument: str
    """What the tool calls it."""
    place: str
    is_required: bool
    schema: dict[str, Any]
    style: str
    """How lists and objects are written: a style of OpenAPI, or ``json``."""
    explode: bool

    def text(self, value: Any) -> str:  # noqa: ANN401  JSON data
        """Write a value in one piece."""
        if self.style == "json":
            return json.dumps(value)
        if self.style == "simple" and self.explode and isinstance(value, dict):
            return ",".join(f"{name}={_plain(item)}" for name, item in value.items())
        return _plain(value)


@frozen(kw_only=True)
class Body:
    """What an operation takes as its body."""

    media_type: str
    is_required: bool
    schema: dict[str, Any]
    fields: tuple[str, ...] | None
    """The tool's arguments that make it up; None where it is the one argument ``body``."""
    files: frozenset[str]
    """The fields of a form that are files."""


@frozen(kw_only=True)
class Operation:
    """One operation, as a tool."""

    tool: Tool
    method: str
    path: str
    parameters: tuple[Parameter, ...]
    body: Body | None

    def request(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Give what to send, as the arguments of an HTTP client's ``request``.

        Raises:
            WrongArgumentsError: Arguments are missing or unknown.
        """
        self._check(arguments)
        path, query, headers, cookies = self.path, list[tuple[str, str]](), dict[str, str](), list[str]()
        for parameter in self.parameters:
            value = arguments.get(parameter.argument)
            if value is None:
                continue
            if parameter.place == "path":
                path = path.replace(f"{{{parameter.name}}}", _segment(parameter, value))
            elif parameter.place == "query":
                query += _pairs(parameter, value)
            elif parameter.place == "header":
                headers[parameter.name] = parameter.text(value)
            else:
                cookies.append(f"{parameter.name}={quote(parameter.text(value))}")
        if cookies:
            headers["Cookie"] = "; ".join(cookies)
        body = self._body(arguments)
        headers |= body.pop("headers", {})
        return {"url": path.lstrip("/"), "headers": headers, **({"params": query} if query else {}), **body}

    def _check(self, arguments: Mapping[str, Any]) -> None:
        schema = self.tool.input_schema
        problems = [f"missing argument {name!r}" for name in schema.get("required", []) if name not in arguments]
        if schema.get("additionalProperties") is False:
            problems += [f"unknown argument {name!r}" for name in arguments if name not in schema["properties"]]
        if problems:
            raise WrongArgumentsError("; ".join(problems))

    def _body(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        if self.body is None:
            return {}
        if self.body.fields is None:
            value = arguments.get("body")
        else:
            known = {parameter.argument for parameter in self.parameters}
            value = {name: given for name, given in arguments.items() if name not in known}
        if value is None or (value == {} and not self.body.is_required):
            return {}
        return _encoded(self.body, value)


def _encoded(body: Body, value: Any) -> dict[str, Any]:  # noqa: ANN401  JSON data
    media_type = body.media_type
    if media_type == JSON_TYPE or media_type.endswith("+json"):
        return {"content": json.dumps(value).encode(), "headers": {"Content-Type": media_type}}
    if media_type == FORM_TYPE and isinstance(value, dict):
        return {"data": {name: [_field(item) for item in _several(given)] for name, given in value.items()}}
    if media_type == MULTIPART_TYPE and isinstance(value, dict):
        fields = [(name, item) for name, given in value.items() for item in _several(given)]
        return {"files": [(name, (name if name in body.files else None, _field(item))) for name, item in fields]}
    return {"content": _plain(value).encode(), "headers": {"Content-Type": media_type}}


def _several(value: Any) -> list[Any]:  # noqa: ANN401  JSON data
    """Give what a form has under one name: it repeats the name of a list for each item, and has no null."""
    return [item for item in (value if isinstance(value, list) else [value]) if item is not None]


def _field(value: Any) -> str:  # noqa: ANN401  JSON data
    return json.dumps(value) if isinstance(value, list | dict) else _plain(value)


def _plain(value: Any) -> str:  # noqa: ANN401  JSON data
    """Write a value as the styles ``simple`` and ``form`` do: lists and objects with commas."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(map(_plain, value))
    if isinstance(value, dict):
        return ",".join(f"{name},{_plain(item)}" for name, item in value.items())
    return "" if value is None else str(value)


def _segment(parameter: Parameter, value: Any) -> str:  # noqa: ANN401  JSON data
    """Write a path parameter by its style: as RFC 6570 expands ``{v}``, ``{.v}`` and ``{;v}``, exploded ``{v*}``..."""
    start = {"label": ".", "matrix": ";"}.get(parameter.style, "")
    if parameter.style == "json" or not isinstance(value, list | dict):
        pieces, name = [_escaped(parameter.text(value))], parameter.name
    elif isinstance(value, list):
        pieces, name = [*map(_escaped, value)], parameter.name
    elif parameter.explode:
        pieces, name = [f"{_escaped(key)}={_escaped(item)}" for key, item in value.items()], ""
    else:
        pieces, name = [_escaped(part) for pair in value.items() for part in pair], parameter.name
    if not parameter.explode:
        pieces = [",".join(pieces)]
    if parameter.style == "matrix" and name:
        pieces = [f"{name}={piece}".removesuffix("=") for piece in pieces]
    return start + (start or ",").join(pieces)


def _escaped(value: Any) -> str:  # noqa: ANN401  JSON data
    return quote(_plain(value), safe="")


def _pairs(parameter: Parameter, value: Any) -> list[tuple[str, str]]:  # noqa: ANN401  JSON data
    """Write a query parameter by its style."""
    name = parameter.name
    if parameter.style == "json":
        return [(name, parameter.text(value))]
    if isinstance(value, dict):
        if parameter.style == "deepObject":
            return [(f"{name}[{key}]", _plain(item)) for key, item in value.items()]
        if parameter.explode:
            return [(key, _plain(item)) for key, item in value.items()]
    if isinstance(value, list):
        if parameter.explode:
            return [(name, _plain(item)) for item in value]
        separator = {"spaceDelimited": " ", "pipeDelimited": "|"}.get(parameter.style, ",")
        return [(name, separator.join(map(_plain, value)))]
    return [(name, _plain(value))]


# --- reading ----------------------------------------------------------------------------------------------------------


def read_operations(name: str, document: Mapping[str, Any]) -> dict[str, Operation]:
    """Read the operations of a document, by their tools' names."""
    operations: dict[str, Operation] = {}
    for path, item in (document.get("paths") or {}).items():
        resolved = _resolve(document, item)
        for method in METHODS:
            if isinstance(resolved.get(method), dict):
                operation = _operation(document, path, method, resolved)
                free = _free(operation.tool.name, operations)
                operations[free] = operation if free == operation.tool.name else _renamed(operation, free)
    if not operations:
        msg = f"connection {name!r}: the OpenAPI document has no operations"
        raise ConfigError(msg)
    return operations


def _free(name: str, taken: Mapping[str, object]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def _renamed(operation: Operation, name: str) -> Operation:
    return attrs.evolve(operation, tool=attrs.evolve(operation.tool, name=name))


def _operation(document: Mapping[str, Any], path: str, method: str, item: Mapping[str, Any]) -> Operation:
    described = item[method]
    parameters = tuple(_parameters(document, [*item.get("parameters", []), *described.get("parameters", [])]))
    body = _read_body(document, described.get("requestBody"), {parameter.argument for parameter in parameters})
    text = "\n\n".join(filter(None, (described.get("summary"), described.get("description"))))
    tool = Tool(
        name=re.sub(r"[^a-zA-Z0-9_-]+", "_", described.get("operationId") or f"{method}{path}").strip("_")[:128],
        description=text,
        input_schema=_input_schema(document, parameters, body),
    )
    return Operation(tool=tool, method=method.upper(), path=path, parameters=parameters, body=body)


def _parameters(document: Mapping[str, Any], given: list[Any]) -> Iterator[Parameter]:
    found = {}
    for reference in given:  # the operation's own come last, and replace the path's
        parameter = _resolve(document, reference)
        found[(parameter["name"], parameter["in"])] = parameter
    names = [name for name, _ in found]
    for (name, place), parameter in found.items():
        usual = "form" if place in ("query", "cookie") else "simple"
        style = "json" if parameter.get("content") else parameter.get("style") or usual
        content: dict[str, Any] = next(iter((parameter.get("content") or {}).values()), {})
        schema = dict(parameter.get("schema") or content.get("schema") or {})
        if parameter.get("description"):
            schema.setdefault("description", parameter["description"])
        yield Parameter(
            name=name,
            argument=name if names.count(name) == 1 else f"{name}_{place}",
            place=place,
            is_required=place == "path" or bool(parameter.get("required")),
            schema=schema,
            style=style,
            explode=bool(parameter.get("explode", style in ("form", "deepObject"))),
        )


def _read_body(document: Mapping[str, Any], reference: Any, taken: set[str]) -> Body | None:  # noqa: ANN401  JSON data
    if not reference:
        return None
    body = _resolve(document, reference)
    content = body.get("content") or {JSON_TYPE: {}}
    media_type = next((kind for kind in (JSON_TYPE, FORM_TYPE, MULTIPART_TYPE) if kind in content), next(iter(content)))
    schema = content[media_type].get("schema") or {}
    resolved = _resolve(document, schema)
    properties = resolved.get("properties") or {}
    # Fields become arguments of their own, if that says all there is to say of them.
    is_flat = bool(properties) and not (taken & properties.keys()) and not resolved.keys() & {"oneOf", "anyOf", "allOf"}
    return Body(
        media_type=media_type,
        is_required=bool(body.get("required")),
        schema=resolved if is_flat else schema,
        fields=tuple(properties) if is_flat else None,
        files=frozenset(name for name, field in properties.items() if _is_file(document, field)),
    )


def _is_file(document: Mapping[str, Any], schema: Any) -> bool:  # noqa: ANN401  JSON data
    """Whether a form's field is a file, an optional one, or a list of files: with a file name in its part."""
    field = _resolve(document, schema)
    kinds = [field, *(_resolve(document, option) for option in field.get("anyOf", []))]
    kinds += [_resolve(document, kind.get("items")) for kind in kinds]
    return any(
        kind.get("format") == "binary" or ("contentMediaType" in kind and "contentEncoding" not in kind)
        for kind in kinds
    )


def _input_schema(document: Mapping[str, Any], parameters: tuple[Parameter, ...], body: Body | None) -> dict[str, Any]:
    properties = {parameter.argument: parameter.schema for parameter in parameters}
    required = [parameter.argument for parameter in parameters if parameter.is_required]
    is_open = False
    if body is not None and body.fields is not None:
        properties |= body.schema["properties"]
        required += body.schema.get("required", []) if body.is_required else []
        is_open = body.schema.get("additionalProperties", False) is not False
    elif body is not None:
        properties["body"] = body.schema
        required += ["body"] if body.is_required else []
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required
    if not is_open:
        schema["additionalProperties"] = False
    return _with_definitions(document, schema)


def _with_definitions(document: Mapping[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Take the schemas along that a schema names; a tool's schema stands alone."""
    definitions: dict[str, Any] = {}
    moved = _moved(document, schema, definitions)
    return {**moved, "$defs": definitions} if definitions else moved


def _moved(document: Mapping[str, Any], value: Any, definitions: dict[str, Any]) -> Any:  # noqa: ANN401  JSON data
    if isinstance(value, list):
        return [_moved(document, item, definitions) for item in value]
    if not isinstance(value, dict):
        return value
    reference = value.get("$ref")
    if isinstance(reference, str) and reference.startswith(_SCHEMAS):
        name = reference.removeprefix(_SCHEMAS)
        if name not in definitions:
            definitions[name] = {}  # before it is read: it may name itself
            definitions[name] = _moved(document, _resolve(document, {"$ref": reference}), definitions)
        return {**value, "$ref": f"#/$defs/{name}"}
    return {key: _moved(document, item, definitions) for key, item in value.items()}


def _resolve(document: Mapping[str, Any], value: Any) -> dict[str, Any]:  # noqa: ANN401  JSON data
    """Follow references inside the document; one that leads nowhere is an empty object."""
    for _ in range(_REF_LIMIT):
        if not isinstance(value, dict):
            return {}
        reference = value.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return value
        value = document
        for part in reference[2:].split("/"):
            key = part.replace("~1", "/").replace("~0", "~")
            value = value.get(key) if isinstance(value, dict) else None
    return {}
