"""Environments: declared with `Environment`, seen live as a `Session` by the harness and a `Toolbox` by the agent."""
