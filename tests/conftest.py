"""What every test may use. The services start in tests/plugin.py."""

from __future__ import annotations
