"""MCP both ways: serve an environment to any client, connect to any server. The one place that knows the protocol."""
