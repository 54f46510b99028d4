"""A server over stdio that shakes hands, and then reads no more, stops in the middle of an answer, or never ends it."""

from __future__ import annotations

import json
import sys
import time

RESULT = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "stuck", "version": "0"},
}


def main(how: str) -> None:
    for line in sys.stdin:
        message = json.loads(line)
        if message["method"] == "server/discover":
            say(message, error={"code": -32601, "message": "no such method"})
        elif message["method"] == "initialize":
            say(message, result=RESULT)
        elif how == "deaf":
            time.sleep(1000)
        elif message["method"] == "tools/call":
            sys.stdout.write('{"jsonrpc": "2.0", "id": 1, "result": {"content": "')
            while how == "giant":
                sys.stdout.write("x" * 100_000)
            sys.stdout.flush()
            time.sleep(1000)


def say(message: dict[str, object], **answer: object) -> None:
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}), flush=True)


main(sys.argv[1])
