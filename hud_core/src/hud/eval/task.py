"""`Task`, where code written for the reference SDK looks for it."""

from __future__ import annotations

from hud_core import Task, TaskAgentConfig

__all__ = ["Task", "TaskAgentConfig"]
