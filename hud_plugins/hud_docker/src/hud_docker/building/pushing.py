"""`hud push`: an image on its way to a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from hud_core.errors import ConfigError, HudError
from hud_docker.building.lock import now
from hud_docker.building.names import split_image
from hud_docker.errors import ImageMissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from docker import APIClient

    from hud_docker.building.lock import Lock
    from hud_docker.engine import Engine

_CONNECTION = 3
_FIXES = (
    (("no basic auth", "unauthorized", "denied", "authentication required"),
     "run `docker login{host}` with an account that may push there, and see that the repository exists"),
    (("server gave http response to https client",),
     "this registry speaks plain HTTP: add it to `insecure-registries` of the engine"),
    (("x509", "certificate"), "the engine does not trust this registry's certificate: give it the authority's"),
    (("no such host", "connection refused", "timeout", "no route", "unreachable", "eof"),
     "is the name right, and is the registry running and reachable from the engine?"),
)  # fmt: skip


class PushError(HudError):
    """A registry that did not take an image; the message says why, and the fix."""


class RegistryAwayError(PushError):
    """A registry that cannot be reached."""

    exit_code = _CONNECTION


@attrs.frozen(kw_only=True)
class Pushed:
    """What a registry took."""

    image: str
    """Its name there, with a tag."""
    digest: str


def target_of(lock: Lock, image: str | None, tag: str | None) -> tuple[str, str]:
    """Say where an image goes: its name there, and its tag.

    The name is the one asked for, or the one of the last push, or the image's own if that names a place; else it
    belongs to the account that is logged in to Docker Hub. The tag is the one asked for, or the version.

    Raises:
        ConfigError: Nothing says where.
    """
    asked, asked_tag = split_image(image, "--image") if image else ("", "")
    local, local_tag = split_image(lock.image or "", f"{lock.path}: images.local")
    last = split_image(lock.pushed, f"{lock.path}: images.pushed")[0] if lock.pushed else ""
    name = asked or last or (local if "/" in local else _of_account(local))
    chosen = tag or asked_tag or lock.version or local_tag or "latest"
    return split_image(f"{name}:{chosen}", "--tag" if tag else "--image")


def _of_account(name: str) -> str:
    from docker.auth import load_config

    account = (load_config().resolve_authconfig() or {}).get("Username")
    if not account:
        msg = f"where to? give --image, as registry.example.com/team/{name}, or log in to Docker Hub: `docker login`"
        raise ConfigError(msg)
    return f"{account}/{name}"


async def push(engine: Engine, source: str, name: str, tag: str, tell: Callable[[str], None]) -> Pushed:
    """Name an image as its registry is to call it, and push it.

    Args:
        engine: Where the image is.
        source: What it is called there.
        name: What the registry calls it.
        tag: Its tag there.
        tell: Is told of progress, from another thread.

    Raises:
        PushError: The registry does not take it.
        ImageMissingError: There is no such image.
        EngineError: The engine failed.
    """
    try:
        await engine.call(engine.client.tag, source, name, tag)
    except ImageMissingError as error:
        msg = f"the engine has no image {source}, of which the lock file tells; run `hud build`"
        raise ImageMissingError(msg) from error
    digest = await engine.read(_followed, engine.client, name, tag, tell)
    return Pushed(image=f"{name}:{tag}", digest=digest)


def _followed(client: APIClient, name: str, tag: str, tell: Callable[[str], None]) -> str:
    """Follow a push to its end, and give the digest of what is in the registry now."""
    digest = ""
    messages: Iterable[dict[str, Any]] = client.push(name, tag, stream=True, decode=True)
    for message in messages:
        if "error" in message:
            raise _refused(f"{name}:{tag}", str(message["error"]))
        digest = (message.get("aux") or {}).get("Digest") or digest
        if not message.get("progressDetail") and message.get("status") not in {None, "Preparing", "Waiting"}:
            tell(f"{message.get('id', '')} {message['status']}".strip())
    if not digest:
        raise PushError(f"{name}:{tag}: the engine ended the push without a digest; is it still running?")
    return digest


def _refused(image: str, said: str) -> PushError:
    fix = next((fix for signs, fix in _FIXES if any(sign in said.lower() for sign in signs)), "")
    host, slash, _ = image.partition("/")
    is_named = bool(slash) and (":" in host or "." in host or host == "localhost")
    kind = RegistryAwayError if fix == _FIXES[-1][1] else PushError
    shown = fix.format(host=f" {host}" if is_named else "")
    return kind(f"{image} is not pushed: {said}{f'; {shown}' if shown else ''}")


def with_push(lock: Lock, source: str, pushed: Pushed) -> Lock:
    """Give a lock that tells of a push."""
    record = {
        "source": source,
        "pushedAt": now(),
        "registry": pushed.image.rpartition("/")[0],
        "image_with_tag": pushed.image,
        "digest": pushed.digest,
    }
    images = {**lock.part("images"), "pushed": pushed.image}
    return attrs.evolve(lock, data={**lock.data, "images": images, "push": record})
