#!/usr/bin/env python3
"""Django's command line for the portal."""

from __future__ import annotations

import os
import sys

# Commands that read a file and print an answer: they start without the portal's apps, which take seconds to load.
ON_THEIR_OWN = ("forecast", "detect_events", "import_benchmark")


def main() -> None:
    """Run one management command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    if sys.argv[1:2] and sys.argv[1] in ON_THEIR_OWN:
        from importlib import import_module

        import_module(f"capacity.management.commands.{sys.argv[1]}").Command().run_from_argv(sys.argv)
        return
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
