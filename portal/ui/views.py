"""The style guide: every component with made-up values. It is a page of the desk, not of a real portal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from django import forms
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse

from portal.access import Permission, PortalView
from portal.ui.charts import Marker, NodeLoad, Point, Series
from portal.ui.lanes import Lane
from portal.ui.states import LOOKS

FAMILIES = (
    ("Detected event", ("proposed", "named", "dismissed")),
    ("Drill: how", ("table_top", "announced", "unannounced")),
    ("Drill: where", ("test", "production")),
    ("Drill: result", ("drill_met", "drill_not_met", "drill_stopped", "drill_invalid")),
    ("Drill: step", ("step_open", "step_doing", "step_done", "step_skipped")),
    ("Drill: who acts", ("automated", "by_hand", "talk")),
    ("Drill: finding", ("finding_critical", "finding_major", "finding_minor", "finding_good", "withdrawn")),
    ("Drill: evidence", ("out_of_date",)),
    ("Drill: server", ("target_untouched", "target_hit", "target_returning", "target_back")),
    ("Plan", ("draft", "awaiting_approval", "approved", "rejected", "expired", "voided", "used")),
    (
        "Run",
        (
            "scheduled",
            "running",
            "paused",
            "halted",
            "rolling_back",
            "growing",
            "completed",
            "aborted",
            "rolled_back",
        ),
    ),
    (
        "Server",
        (
            "queued",
            "draining",
            "removing",
            "verifying",
            "held",
            "going_back",
            "imaging",
            "deleting",
            "confirming",
            "retired",
            "skipped",
            "restored",
            "recreating",
            "joining",
            "recreated",
            "gone",
            "left_out",
        ),
    ),
    ("Node", ("ENABLED", "DRAINING", "DISABLED", "ONLINE", "OFFLINE")),
    ("Evidence", ("measured", "inferred", "timed")),
    ("Verdict", ("passes", "fails", "inconclusive")),
    (
        "Contact and account",
        ("confirmed", "due", "stale", "unconfirmed", "active", "archived", "pending", "void", "switched_off"),
    ),
    (
        "Contact in full",
        ("proven", "unproven", "doubtful", "bouncing", "disowned", "on_duty", "covered", "gaps"),
    ),
    (
        "Scorecard and review",
        ("red", "amber", "unknown", "green", "open", "signed", "called_off", "done", "overdue", "dropped"),
    ),
    ("Reaching somebody", ("asked_now",)),
    ("Calendar", ("freeze", "maintenance", "lock", "event", "drill", "review", "window")),
    ("Freeze", ("may_begin", "does_not_hold", "may_not_begin")),
    ("Benchmark", ("set_aside", "invalid")),
    ("Against the baseline", ("better", "same", "worse", "not_comparable")),
    ("Hand-over", ("open", "accepted", "declined", "withdrawn", "overtaken", "expired")),
    ("Support case", ("open", "waiting_customer", "waiting_provider", "solved", "closed")),
    ("Series that is fetched", ("pull_off", "pull_failing", "pull_waiting", "pull_empty", "pull_good")),
    (
        "Load by the portal",
        ("load_completed", "load_aborted", "load_stopped", "load_worker_lost", "load_failed"),
    ),
    ("Host to put load on", ("host_waiting", "host_missing", "host_old", "host_proven")),
    ("Webhook", ("failing", "switched_off_portal", "delivered", "trying_again", "not_delivered")),
    ("Rank of a halt", ("site_in_danger", "decide_today", "safe_waiting")),
)


class SampleForm(forms.Form):
    """Fields of each kind, for the style guide."""

    name = forms.CharField(label="Name", help_text="How the plan is called in lists and mails.")
    target = forms.IntegerField(label="Servers that stay", min_value=2)
    order = forms.ChoiceField(
        label="Order",
        choices=[
            ("reverse_of_scale_up", "Reverse of the scale-up"),
            ("newest_first", "Newest first"),
            ("manual", "By hand"),
        ],
    )
    at_limit = forms.ChoiceField(
        label="At the drain limit",
        widget=forms.RadioSelect,
        choices=[
            ("ask", "Ask the person in charge; without an answer the node goes back"),
            ("restore", "Put the node back"),
        ],
        help_text="What happens to a node that still has connections then.",
    )
    hold = forms.BooleanField(label="Hold each server through the next peak", required=False)
    reason = forms.CharField(label="Reason", required=False, widget=forms.Textarea(attrs={"rows": 2}))


def _drain(start: datetime, values: list[float | None], every_s: int = 10) -> list[Point]:
    return [(start + timedelta(seconds=every_s * index), value) for index, value in enumerate(values)]


def sample_context(now: datetime) -> dict[str, Any]:
    """Return what the style guide shows, as if it were `now`."""
    falling: list[float | None] = [
        48,
        46,
        41,
        38,
        33,
        None,
        None,
        22,
        19,
        17,
        15,
        14,
        11,
        9,
        8,
        6,
        5,
        4,
        4,
        3,
        2,
        2,
    ]
    start = now - timedelta(seconds=10 * (len(falling) - 1))
    gone: list[float | None] = [52, 44, 36, 31, 22, 15, 9, 6, 2, 1, 0, 0, 0]
    lanes = [
        Lane(
            ref="a",
            name="web-14",
            phase="retired",
            address="10.20.0.114",
            sentence="Deleted. The site passed its checks without it.",
            since=now - timedelta(minutes=9),
        ),
        Lane(
            ref="b",
            name="web-13",
            phase="held",
            address="10.20.0.113",
            connections=0,
            points=_drain(now - timedelta(minutes=6), gone),
            grade="measured",
            source="status URL, requests in flight",
            observed_at=now - timedelta(seconds=8),
            sentence="Out of the pool, alive, until 18:40.",
            commands=({"url": "#", "label": "Put web-13 back", "leaves": "Leaves 5 in service"},),
        ),
        Lane(
            ref="c",
            name="web-12",
            phase="draining",
            address="10.20.0.112",
            connections=2,
            points=_drain(start, falling),
            grade="measured",
            source="status URL, requests in flight",
            observed_at=now - timedelta(seconds=3),
            sentence="Going down, likely empty in about 30 s.",
        ),
        Lane(
            ref="d",
            name="web-11",
            phase="draining",
            halted=True,
            address="10.20.0.111",
            connections=None,
            grade="timed",
            source="no count source on this balancer",
            sentence="No progress for 4 min: this balancer does not tell how many connections are open.",
            commands=(
                {"url": "#", "label": "Wait 10 more minutes"},
                {"url": "#", "label": "Put web-11 back", "tone": "primary"},
                {
                    "url": "#",
                    "label": "Go on and cut what is open",
                    "tone": "danger",
                    "dialog": "sample-cut",
                    "confirm_url": "#sample-cut",
                },
            ),
        ),
        Lane(ref="e", name="web-10", phase="queued", address="10.20.0.110", sentence="Waits for web-11."),
        Lane(
            ref="f",
            name="web-09",
            phase="restored",
            left_at="verifying",
            address="10.20.0.109",
            sentence="Put back: load per node passed the guard.",
        ),
    ]
    entries = [
        SimpleNamespace(
            seq=43,
            at=now - timedelta(seconds=3),
            subject="web-12",
            text="2 connections still open. Looking again in 10 s.",
            tone="move",
            who="",
        ),
        SimpleNamespace(
            seq=42,
            at=now - timedelta(seconds=64),
            subject="web-11",
            text="The run halted: no count is known and the longest drain time has passed.",
            tone="bad",
            who="",
        ),
        SimpleNamespace(
            seq=41,
            at=now - timedelta(seconds=120),
            subject="",
            text="Paused after this server.",
            tone="wait",
            who="Mara Lindqvist",
        ),
        SimpleNamespace(
            seq=40,
            at=now - timedelta(seconds=190),
            subject="web-13",
            text="Left the load balancer shop-prod; verified at 34 % of tonight's peak.",
            tone="good",
            who="",
        ),
    ]
    return {
        "families": FAMILIES,
        "looks": LOOKS,
        "now": now,
        "none_value": None,
        "lanes": lanes,
        "entries": entries,
        "nodes": [
            NodeLoad("web-08", 71.4),
            NodeLoad("web-09", 96.0),
            NodeLoad("web-10", 118.2),
            NodeLoad("web-11", None, "not reported"),
            NodeLoad("web-12", 6.5, "draining"),
        ],
        "series": [
            Series("web-12", _drain(start, falling)),
            Series("web-13", _drain(start - timedelta(seconds=60), gone), tone="2"),
        ],
        "markers": [
            Marker(start, "drain began"),
        ],
        "form": SampleForm(initial={"order": "reverse_of_scale_up", "at_limit": "ask"}),
        "bad_form": SampleForm(
            {"name": "", "target": "1", "order": "newest_first", "at_limit": "ask"},
            auto_id="bad_%s",
        ),
        "steps": [
            {"key": "purpose", "label": "What for", "url": "#"},
            {"key": "pool", "label": "Pool and order", "url": "#"},
            {"key": "safety", "label": "Safety", "url": "#"},
            {"key": "preview", "label": "Preview"},
            {"key": "approvals", "label": "Approvals"},
        ],
        "tab_items": [
            {"key": "overview", "label": "Overview", "url": "#overview"},
            {"key": "contacts", "label": "Contacts", "url": "#contacts", "count": 6},
            {"key": "scaledown", "label": "Scale-down", "url": "#scaledown", "count": 2},
            {"key": "activity", "label": "Activity", "url": "#activity"},
        ],
        "page": SimpleNamespace(previous_url="", next_url="#next", summary="Plans 1 to 25, newest first"),
        "standstills": [
            SimpleNamespace(
                scope="account Nordwind Outfitters",
                reason="Their payment provider is down",
                by="Mara Lindqvist",
                since=now - timedelta(minutes=7),
                url="#standstill",
            )
        ],
        "engine_asleep": SimpleNamespace(since=now - timedelta(minutes=3), overdue=2, draining=1),
    }


class StyleGuide(PortalView):
    """Shows every component; only on a desk, elsewhere the page does not exist."""

    permission = Permission.PUBLIC

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show the page with made-up values, as of now."""
        if not settings.DESK_MODE:
            raise Http404("the style guide is a page of the desk")
        return self.render("styleguide.html", **sample_context(datetime.now(UTC)))


styleguide = StyleGuide.as_view()
