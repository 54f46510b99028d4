"""OpenAPI documents: from data, from a file, from a URL; as JSON or YAML."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio

from hud_core.errors import BackendError, ConfigError, describe

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx2


async def fetch_document(name: str, url: str, client: httpx2.AsyncClient) -> Mapping[str, Any]:
    """Fetch a document.

    Raises:
        BackendError: It cannot be fetched.
        ConfigError: It is no OpenAPI document.
    """
    import httpx2

    try:
        response = await client.get(url, follow_redirects=True)
    except httpx2.RequestError as error:
        msg = f"connection {name!r}: cannot fetch {url}: {describe(error)}"
        raise BackendError(msg) from error
    if response.is_error:
        msg = f"connection {name!r}: cannot fetch {url}: it answered {response.status_code} {response.reason_phrase}"
        raise BackendError(msg)
    return parse_document(name, response.text, url)


async def read_document(name: str, value: object) -> Mapping[str, Any]:
    """Read a document: data as it is, anything else is a file.

    Raises:
        ConfigError: There is no such file, or it is no OpenAPI document.
    """
    if isinstance(value, dict):
        return _checked(name, value, "the document")
    path = anyio.Path(str(value))
    try:
        text = await path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        msg = f"connection {name!r}: cannot read the OpenAPI document {str(path)!r}: {describe(error)}"
        raise ConfigError(msg) from error
    return parse_document(name, text, str(path))


def parse_document(name: str, text: str, place: str) -> Mapping[str, Any]:
    """Parse a document, JSON or else YAML.

    Raises:
        ConfigError: It is neither, or no OpenAPI document.
    """
    try:
        data = json.loads(text)
    except ValueError:
        data = _yaml(name, text, place)
    return _checked(name, data, place)


def _yaml(name: str, text: str, place: str) -> object:
    try:
        import yaml  # type: ignore[import-untyped,unused-ignore]  # optional, and without types of its own
    except ImportError as error:
        msg = f"connection {name!r}: {place} is not JSON; to read YAML, pip install pyyaml"
        raise ConfigError(msg) from error
    try:
        data: object = yaml.safe_load(text)
    except yaml.YAMLError as error:
        msg = f"connection {name!r}: {place} is neither JSON nor YAML: {error}"
        raise ConfigError(msg) from error
    return data


def _checked(name: str, data: object, place: str) -> Mapping[str, Any]:
    if not isinstance(data, dict) or not str(data.get("openapi", "")).startswith("3."):
        version = f"swagger {data['swagger']}" if isinstance(data, dict) and "swagger" in data else "no OpenAPI 3"
        msg = f"connection {name!r}: {place} must be an OpenAPI 3 document; it is {version}"
        raise ConfigError(msg)
    return data
