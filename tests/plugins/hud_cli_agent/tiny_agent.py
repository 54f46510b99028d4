"""A command-line agent of a few lines: reads a prompt, calls a tool over MCP as it is told, prints an answer.

It stands for any program that speaks MCP over HTTP, and knows nothing of hud but the variables that it is given.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

VERSION = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientInfo": {"name": "tiny", "version": "0"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


class Server:
    """The tools, as a configuration file names them."""

    def __init__(self, config: str | None) -> None:
        if config is None:
            self.url = os.environ["HUD_TOOLS_URL"]
            self.headers = {"Authorization": f"Bearer {os.environ['HUD_TOOLS_TOKEN']}"}
        else:
            server = json.loads(Path(config).read_text("utf-8"))["mcpServers"]["tools"]
            self.url, self.headers = server["url"], server["headers"]

    def ask(self, method: str, name: str | None = None, **params: Any) -> Any:
        params |= {"_meta": META, **({"name": name} if name else {})}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        headers = {
            **self.headers,
            "Accept": "application/json, text/event-stream",
            "Content-Type": "application/json",
            "MCP-Protocol-Version": VERSION,
            "MCP-Method": method,
            **({"MCP-Name": name} if name else {}),
        }
        with urllib.request.urlopen(urllib.request.Request(self.url, body, headers)) as response:
            text = response.read().decode()
        data = next((line[5:] for line in text.splitlines() if line.startswith("data:")), text)
        return json.loads(data)["result"]

    def names(self) -> list[str]:
        return [tool["name"] for tool in self.ask("tools/list")["tools"]]

    def call(self, name: str, **arguments: Any) -> str:
        content = self.ask("tools/call", name, arguments=arguments)["content"]
        return "".join(block.get("text", "") for block in content)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mcp-config")
    parser.add_argument("--prompt-file")
    parser.add_argument("--call", default="")
    parser.add_argument("--arguments", type=json.loads, default={})
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--max-steps", type=int)
    parser.add_argument("--say", default="{result}")
    parser.add_argument("--answer-file")
    parser.add_argument("--to-stderr", default="")
    parser.add_argument("--leave-behind")
    parser.add_argument("--sleep", type=float, default=0)
    parser.add_argument("--exit", type=int, default=0)
    options = parser.parse_args()
    prompt = Path(options.prompt_file).read_text("utf-8") if options.prompt_file else sys.stdin.read()
    if options.leave_behind:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(options.leave_behind).write_text(f"{os.getpid()} {child.pid}", "utf-8")
    server, result = Server(options.mcp_config), ""
    for step in range(options.times if options.call and options.call in server.names() else 0):
        if step == options.max_steps:
            return 53
        result = server.call(options.call, **options.arguments)
    print(options.to_stderr, file=sys.stderr)
    said = options.say
    for name, value in {"{result}": result, "{said}": prompt, "{env}": json.dumps(dict(os.environ))}.items():
        said = said.replace(name, value)
    if options.answer_file:
        Path(options.answer_file).write_text(said, "utf-8")
    else:
        print(said)
    sys.stdout.flush()
    time.sleep(options.sleep)
    return int(options.exit)


if __name__ == "__main__":
    sys.exit(main())
