"""``python -m hud`` is the command ``hud``."""

from __future__ import annotations

import sys

from hud.cli import main

if __name__ == "__main__":
    sys.exit(main())
