"""Find traffic events in a file. Asks nothing of the database, and loads none of the portal's apps."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from capacity.growth.answers import events_answer
from capacity.management.commands.forecast import seasons_of, text_of


class Command(BaseCommand):
    """Print each window that left the band of its hour and weekday, with its score."""

    help = "Find the stretches of a CSV of values, or of times and values, that leave the band of their hour and weekday."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """The file, and the seasons in steps where they are not to be found out."""
        parser.add_argument(
            "--csv", required=True, metavar="FILE", help="value, or time,value, a line; - for stdin"
        )
        parser.add_argument("--season", type=int, metavar="M", help="season in steps; found out if not given")
        parser.add_argument("--season2", type=int, default=1, metavar="M2", help="a second season in steps")
        parser.add_argument("--format", choices=("json", "text"), default="text")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print JSON, or a line a window."""
        try:
            answer = events_answer(text_of(options["csv"]), seasons_of(options))
        except ValueError as problem:
            raise CommandError(str(problem)) from problem
        if options["format"] == "json":
            self.stdout.write(json.dumps(answer, allow_nan=False))
            return
        for note in answer["notes"]:
            self.stdout.write(note)
        if not answer["windows"]:
            self.stdout.write("No events.")
        for window in answer["windows"]:
            begin, end = window.get("starts_at", window["begin"]), window.get("ends_at", window["end"])
            multiple = "" if window["multiple"] is None else f", {window['multiple']:.1f} times normal"
            self.stdout.write(f"{begin} to {end}: score {window['score']:.1f}{multiple}")
