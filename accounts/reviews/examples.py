"""Examples in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from accounts.examples import AT, REF

REVIEW_REF = "8a6f1f60-8a0e-4f8e-9a65-6a1d1f5f3b10"
PERSON = {"ref": "4b6d6f3e-0f0e-4bd4-8df5-21a7b9a0c001", "name": "Jonas Berg"}
FINDING: dict[str, Any] = {
    "key": "contacts",
    "title": "Contacts",
    "grade": "amber",
    "says": "2 contacts are due for confirmation.",
    "rule": "Each contact is confirmed within 90 days.",
    "observed_at": "2026-08-20T00:00:00Z",
    "expires_at": None,
    "by_hand": False,
    "parts": [{"name": "listed", "value": 4}, {"name": "due", "value": 2}],
    "action": "Look after the contacts",
    "path": f"/accounts/{REF}/contacts/",
}
SCORECARD: dict[str, Any] = {
    "account": REF,
    "looked_at": AT,
    "counts": {"red": 0, "amber": 1, "unknown": 6, "green": 4},
    "lines": [FINDING],
}
MONDAY: dict[str, Any] = {
    "account": {"ref": REF, "name": "Lindgren Outdoor"},
    "key": "contacts",
    "grade": "amber",
    "says": "2 contacts are due for confirmation.",
    "rule": "Each contact is confirmed within 90 days.",
    "since": AT,
    "observed_at": "2026-08-20T00:00:00Z",
    "expires_at": None,
    "action": "Look after the contacts",
    "path": f"/accounts/{REF}/contacts/",
}
REVIEW: dict[str, Any] = {
    "ref": REVIEW_REF,
    "account": REF,
    "status": "open",
    "held_on": "2026-11-30",
    "owner": PERSON,
    "participant": {"ref": "c1b7f9a0-2d7c-4c0a-8e11-0d3b9a6c7712", "name": "Maja Lindgren"},
    "template": {"standard": 1, "team": 0},
    "digest": "",
    "good_until": None,
    "created_at": AT,
    "updated_at": AT,
    "ended_at": None,
}
ITEM: dict[str, Any] = {
    "ref": "51a0f4de-1a5d-4f3d-9f06-b6ef4ed0b120",
    "key": "baseline",
    "title": "Baseline",
    "question": "Is there a baseline that is younger than the last large change of the site?",
    "grade": "amber",
    "by": "hand",
    "says": "Answered by hand.",
    "rule": "An answer by hand holds until the next review is due.",
    "reason": "Measured in May, before the new search.",
    "notes": "",
    "observed_at": AT,
    "expires_at": "2027-03-01T00:00:00Z",
    "is_over": False,
    "parts": [],
}
REVIEW_WHOLE: dict[str, Any] = {**REVIEW, "seen": "a" * 64, "items": [ITEM], "signatures": []}
REVIEW_IN = {"held_on": "2026-11-30", "participant": "c1b7f9a0-2d7c-4c0a-8e11-0d3b9a6c7712"}
ACTION: dict[str, Any] = {
    "ref": "ba0a7f4e-47c8-49c7-a6ea-8b0d5f0f8a11",
    "account": REF,
    "title": "Take a new image of the web servers",
    "owner_user": PERSON,
    "owner_contact": None,
    "due_on": "2026-12-14",
    "state": "open",
    "outcome": "",
    "reminded_at": None,
    "created_at": AT,
    "updated_at": AT,
    "closed_at": None,
    "origin": None,
}
ACTION_IN = {"title": ACTION["title"], "owner_user": PERSON["ref"], "due_on": "2026-12-14"}
COMPARISON: dict[str, Any] = {
    "older": "1c7f5b55-7a4a-4d42-8f0f-4f0f5b0a9e01",
    "newer": REVIEW_REF,
    "better": 1,
    "worse": 0,
    "items": [
        {
            "key": "baseline",
            "title": "Baseline",
            "change": "better",
            "before": {"grade": "red", "by": "hand", "reason": "There is none."},
            "after": {"grade": "amber", "by": "hand", "reason": "Measured in May, before the new search."},
        }
    ],
    "actions_new": [],
    "actions_gone": [],
    "actions_carried": [],
}
OWN_ITEM = {"key": "certificates", "title": "Certificates", "question": "Until when do they hold?"}
TEMPLATE: dict[str, Any] = {
    "version": 1,
    "standard": [
        {"key": "contacts", "title": "Contacts", "question": "Does support reach the right people?"}
    ],
    "items": [OWN_ITEM],
}
QUARTER: dict[str, Any] = {
    "name": "2026-4",
    "since": "2026-10-01",
    "until": "2027-01-01",
    "accounts": 12,
    "accounts_without_review": 3,
    "parts": [
        {
            "key": "runs",
            "title": "Runs",
            "figures": [{"label": "Runs begun", "value": 7, "unit": "", "note": "without rehearsals"}],
            "rows_title": "Halts by reason",
            "rows": {"traffic rising": 1},
        }
    ],
}
