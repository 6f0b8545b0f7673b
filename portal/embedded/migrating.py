"""Migrations of an empty database in a third of the time: each start on a new directory waits for them.

Django renders anew, at every operation, each model that a changed one is linked to; in a portal where everything
belongs to an account that is nearly all of them. A model that is new, an index and a constraint change nothing in the
others: what is rendered stays, and what the database is told is the same (tests/embedded/test_migrating.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.migrations.state import ModelState, ProjectState


@contextmanager
def quickly() -> Iterator[None]:
    """Let migrations that this process runs meanwhile render what they change and no more."""
    state: Any = ProjectState  # where Django's own stubs do not name what is private
    whole_add, whole_append = state.add_model, state._append_option

    def add_model(self: ProjectState, model_state: ModelState) -> None:
        rendered = self.__dict__.get("apps")
        key = model_state.app_label, model_state.name_lower
        if rendered is None or key in self.models:
            whole_add(self, model_state)
            return
        # As Django does it, but for the models on the other side of a link: they learn of it and stay as they are.
        del self.__dict__["apps"]
        try:
            whole_add(self, model_state)
        finally:
            self.__dict__["apps"] = rendered
        rendered.render_multiple([model_state])

    def append_option(
        self: ProjectState, app_label: str, model_name: str, option_name: str, obj: Any
    ) -> None:
        rendered = self.__dict__.pop("apps", None)
        try:
            whole_append(self, app_label, model_name, option_name, obj)
        finally:
            if rendered is not None:
                self.__dict__["apps"] = rendered
        if rendered is not None:
            told = rendered.get_model(app_label, model_name)._meta
            setattr(told, option_name, [*getattr(told, option_name), obj])
            told.__dict__.pop("total_unique_constraints", None)

    state.add_model, state._append_option = add_model, append_option
    try:
        yield
    finally:
        state.add_model, state._append_option = whole_add, whole_append
