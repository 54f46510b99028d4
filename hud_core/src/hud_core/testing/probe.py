"""Run as a script: import a plugin as ``hud --help`` does, and print as JSON what that cost and did."""

from __future__ import annotations

import builtins
import importlib
import json
import sys
import time
from typing import Any

HEAVY = {
    "IPython", "anthropic", "anyio", "asyncio", "attr", "attrs", "boto3", "cattrs", "datasets", "docker", "fastapi",
    "fastmcp", "google.genai", "httpx", "jinja2", "mcp", "msgspec", "numpy", "openai", "pandas", "pydantic", "ray",
    "requests", "rich", "sqlalchemy", "starlette", "structlog", "torch", "transformers", "trio", "uvicorn",
}  # fmt: skip
WATCHED = ("socket.", "subprocess.", "os.system", "os.fork", "os.exec", "os.posix_spawn", "os.mkdir", "os.remove")


def main(plugin: str, path: list[str]) -> None:
    """Import the plugin and ask every hook."""
    sys.path[:] = path
    import hud_core.settings  # noqa: F401  the kernel's own cost is not the plugin's, nor is that of its settings
    from hud_core.kernel import Kernel

    Kernel(autoload=False).load_everything()
    before, patches, did = set(sys.modules), patchable(), watch()
    began = time.process_time()
    name, _, attribute = plugin.partition(":")
    module: Any = importlib.import_module(name)
    Kernel(
        autoload=False, plugins=[getattr(module, attribute) if attribute else module], strict=False
    ).load_everything()
    seconds = time.process_time() - began
    new = set(sys.modules) - before
    result = {
        "heavy": sorted(new & HEAVY),
        "own": sorted(found for found in new if found.partition(".")[0] == name.partition(".")[0]),
        "seconds": seconds,
        "did": list(did),
        "patched": [key for key, value in patchable().items() if patches.get(key) is not value],
    }
    print(json.dumps(result))  # noqa: T201  its parent reads it


def watch() -> list[str]:
    """Note from now on what opens or starts something."""
    did: list[str] = []

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        mode = arguments[1] if event == "open" and len(arguments) > 1 else None
        if event.startswith(WATCHED) or (isinstance(mode, str) and set(mode) & set("wax+")):
            did.append(f"{event} {arguments!r}"[:200])

    sys.addaudithook(audit)
    return did


def patchable() -> dict[str, object]:
    """Give what a module could replace for everybody: builtins, and the interpreter's hooks and streams."""
    system = ("excepthook", "displayhook", "unraisablehook", "stdout", "stderr", "stdin", "breakpointhook")
    return {**{f"builtins.{k}": v for k, v in vars(builtins).items()}, **{f"sys.{k}": getattr(sys, k) for k in system}}


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
