"""Examples in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from accounts.examples import AT
from drills.scenarios.library import built_in
from drills.scenarios.types import digest_of, to_plain

_SHOWN = built_in()["nobody_answers"]
CONTENT: dict[str, Any] = to_plain(_SHOWN)
HEAD: dict[str, Any] = {
    "key": _SHOWN.key,
    "title": _SHOWN.title,
    "number": 2,
    "injection": _SHOWN.injection.value,
    "targets": _SHOWN.targets.value,
    "kinds": [one.value for one in _SHOWN.kinds],
    "environments": [one.value for one in _SHOWN.environments],
    "expected_s": _SHOWN.expected_s,
    "is_listed": True,
    "is_of_library": True,
    "note": "Our own waiting times.",
    "made_by": "Jonas Berg",
    "made_at": AT,
    "digest": digest_of(_SHOWN),
}
WHOLE: dict[str, Any] = {**HEAD, "content": CONTENT}
COMPARISON: dict[str, Any] = {
    "older": 0,
    "newer": 1,
    "differences": [
        {
            "label": "How it is undone",
            "lines": [
                {
                    "is_same": False,
                    "pieces": [
                        {"text": "Ring ", "is_gone": False, "is_new": False},
                        {"text": "support.", "is_gone": True, "is_new": False},
                        {"text": "Ada.", "is_gone": False, "is_new": True},
                    ],
                }
            ],
        }
    ],
}
