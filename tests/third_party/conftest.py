"""What is here is somebody else's: it has a configuration of its own, and tests/integration/ installs and runs it."""

from __future__ import annotations

collect_ignore_glob = ["*"]
