"""The tools of hud-core environments for LangChain, LlamaIndex, Google ADK and the OpenAI Agents SDK."""

from __future__ import annotations
