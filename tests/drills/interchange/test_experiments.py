"""Experiments of the Chaos Toolkit, written and read: what maps, what is shown, what is refused, and that nothing is run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drills.interchange.chaostoolkit import (
    MOST_LISTED,
    NOT_KEPT,
    export_experiment,
    import_experiment,
    masked,
)
from drills.interchange.drafts import draft_of, draft_to_plain
from drills.interchange.reading import DEEPEST, LARGEST_BYTES
from drills.scenarios.types import InjectionKind, StepKind
from drills.types import Calling, DrillProbe, Limits
from portal.errors import Refused
from tests.drills.interchange.cases import DRILL, SECRETS, experiment, http, step


def imported(*probes, **more):
    return import_experiment(experiment(*probes, **more))


def whys(found, name):
    return [one.why for one in found.unmapped if name in one.what]


# --- our own ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "plan",
    [
        DRILL,
        replace(DRILL, probes=(), injection=InjectionKind.CALL_CONTACTS, calling=Calling("emergency")),
        replace(
            DRILL, injection=InjectionKind.ROLLING_REBOOT, after_boot=("Services run", "Mounts are there")
        ),
        replace(DRILL, hypothesis=Limits(data_lost_s=0.0), stops=None, objective=""),
    ],
    ids=["stop", "calls", "rolling", "bare"],
)
def test_an_export_is_read_as_the_same_draft(plan):
    raw = json.dumps(export_experiment(plan)).encode()
    found = import_experiment(raw)
    assert found.draft == draft_of(plan)
    assert found.is_ours
    assert found.unmapped == ()


def test_servers_people_and_the_emergency_plan_do_not_travel():
    written = json.dumps(export_experiment(DRILL))
    assert not [one for one in SECRETS if one in written]


def test_a_file_that_was_changed_is_read_as_everybody_elses():
    """What people see in a file is what they get: its own part must not say something else."""
    value = export_experiment(DRILL)
    value["steady-state-hypothesis"]["probes"][0]["provider"]["url"] = "https://other.example/"
    found = import_experiment(value)
    assert not found.is_ours
    assert found.draft.probes[0].url == "https://other.example/"
    assert found.draft.injection is InjectionKind.BY_HAND
    assert whys(found, "steady-state") == [
        "The file was changed after the portal wrote it, so its own part is set aside."
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"format": None},
        {"steps": 3},
        {"hold_s": -1},
        {"hold_s": "long"},
        {"injection": "explode"},
        {"injection": ["stop"]},
        {"more": 1},
        {"title": "x" * 2001},
        {"hypothesis": {**draft_to_plain(draft_of(DRILL))["hypothesis"], "error_ratio": 1.5}},
        {"probes": [{"name": "home", "url": "file:///etc/passwd"}]},
        {"probes": [{"name": "home", "url": "https://a.example/", "method": "POST"}]},
        {"steps": draft_to_plain(draft_of(DRILL))["steps"][1:]},
    ],
)
def test_a_part_of_our_own_that_is_none_is_refused(change):
    value = export_experiment(DRILL)
    value["extensions"][0] |= change
    with pytest.raises(Refused, match="own part"):
        import_experiment(value)


def test_what_the_portal_does_is_a_step_by_hand_there():
    method = export_experiment(DRILL)["method"]
    assert [one["name"] for one in method] == [
        "Step 1, talked through: Say what follows. Done when: It is seen.",
        "Step 2, by the portal: Stop the server (stop). Done when: It is seen.",
    ]
    assert {one["provider"]["type"] for one in method} == {"http"}
    assert [one["pauses"] for one in method] == [{"before": 10}] * 2


def test_a_probe_with_a_text_is_two_for_a_probe_there_has_one_tolerance():
    probes = export_experiment(DRILL)["steady-state-hypothesis"]["probes"]
    assert [(one["name"], one["tolerance"]) for one in probes] == [
        ("home", {"type": "range", "target": "status", "range": [200, 299]}),
        ("basket", 200),
        ("basket: text", {"type": "regex", "target": "body", "pattern": r"Welcome\ \(to\ the\ shop\)\."}),
    ]
    assert probes[0]["provider"]["url"] == "https://shop.example/?a=%24b", "a dollar begins a variable there"


# --- everybody else's -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tolerance", "expected"),
    [
        (200, (200, 200, "")),
        ([200, 299], (200, 299, "")),
        ([200, 201, 202], (200, 202, "")),
        ([204], (204, 204, "")),
        ({"type": "range", "target": "status", "range": [200, 399]}, (200, 399, "")),
        ({"type": "regex", "target": "body", "pattern": "Welcome"}, (100, 599, "Welcome")),
        ({"type": "regex", "target": "body", "pattern": r"1\.5\ €"}, (100, 599, "1.5 €")),
    ],
)
def test_probes_over_http_become_the_portals(tolerance, expected):
    (probe,) = imported(http(tolerance=tolerance, provider={"timeout": [1, 2.5]})).draft.probes
    assert (probe.expected_status_low, probe.expected_status_high, probe.must_contain) == expected
    assert (probe.url, probe.method, probe.timeout_s) == ("https://shop.example/", "GET", 3.5)


@pytest.mark.parametrize(
    "tolerance",
    [
        None,
        True,
        "200",
        0,
        20000,
        2.5,
        [],
        [200, 204, 301],
        [299, 200],
        ["a", "b"],
        {"type": "jsonpath", "path": "$.a"},
        {"type": "range", "range": [1, 2]},
        {"type": "range", "target": "status", "range": [200]},
        {"type": "regex", "target": "body", "pattern": "a+"},
        {"type": "regex", "target": "body", "pattern": r"\d"},
        {"type": "regex", "target": "body", "pattern": ""},
        {"type": "probe", "provider": {"type": "python"}},
        {},
    ],
)
def test_a_tolerance_without_counterpart_is_listed(tolerance):
    found = imported(http(tolerance=tolerance))
    assert found.draft.probes == ()
    assert len(whys(found, "home")) == 1


@pytest.mark.parametrize(
    "provider",
    [
        {"method": "POST"},
        {"url": "https://${host}/"},
        {"url": "ftp://shop.example/"},
        {"url": "https://ada:hunter2@shop.example/"},
        {"url": "https://[::1/"},
        {"url": "https://shop.example:99999/"},
        {"url": "/etc/passwd"},
        {"headers": {"Authorization": "Bearer hunter2"}},
        {"url": "https://shop.example/?page=1&token=hunter2"},
        {"arguments": {"api_token": "hunter2"}},
        {"arguments": {"a": [1]}},
        {"arguments": {"a": "${b}"}},
        {"arguments": "a=b"},
    ],
)
def test_a_probe_that_the_portal_would_not_ask_is_listed_without_its_secrets(provider):
    found = imported(http(provider=provider))
    assert found.draft.probes == ()
    assert len(whys(found, "home")) == 1
    assert "hunter2" not in repr(found)


def test_what_a_probe_loses_is_listed():
    found = imported(
        http(
            tolerance=[200, 204],
            provider={
                "headers": {"Accept": "text/html"},
                "verify_tls": False,
                "timeout": 600,
                "arguments": {"q": "a b"},
            },
        ),
        http(),
    )
    assert [one.what for one in found.unmapped if one.what.startswith("home")] == [
        "home: timeout",
        "home: headers Accept",
        "home: verify_tls",
        "home: tolerance 200 to 204",
    ]
    assert found.draft.probes[0].url == "https://shop.example/?q=a+b"
    assert found.draft.probes[0].timeout_s == 60.0
    assert [one.name for one in found.draft.probes] == ["home", "home (2)"], "answers are kept by name"


PYTHON = {
    "type": "action",
    "name": "stop the cache",
    "provider": {
        "type": "python",
        "module": "os",
        "func": "system",
        "arguments": {"command": "touch /tmp/x", "password": "hunter2"},
    },
    "pauses": {"before": 20, "after": 70},
    "background": True,
}
PROCESS = {
    "type": "action",
    "name": "drop it",
    "provider": {
        "type": "process",
        "path": "rm",
        "arguments": ["-rf", "/srv", "--token", "hunter2", "--key=hunter2"],
    },
}


def test_what_a_file_would_run_is_shown_and_never_run():
    with (
        mock.patch.object(os, "system") as system,
        mock.patch.object(subprocess, "Popen") as process,
    ):
        found = imported(
            {**PYTHON, "type": "probe", "tolerance": True, "name": "python probe"},
            method=[PYTHON, PROCESS],
            rollbacks=[PROCESS],
        )
    assert not system.called
    assert not process.called
    assert found.draft.probes == ()
    assert [(one.kind, one.title, one.expected_s, one.injects) for one in found.draft.steps] == [
        (StepKind.BY_HAND, "stop the cache", 90, True),
        (StepKind.BY_HAND, "drop it", 60, False),
    ]
    assert found.draft.steps[0].text == f"Python: os.system(command = touch /tmp/x, password = {NOT_KEPT})"
    assert found.draft.steps[1].text == f"Process: rm [-rf, /srv, --token, {NOT_KEPT}, --key={NOT_KEPT}]"
    assert found.draft.undo.startswith("drop it: Process: rm")
    assert "hunter2" not in repr(found)
    assert {one.provider for one in found.shown} == {"python", "process"}
    for name in ("python probe", "stop the cache", "drop it", "background", "pauses"):
        assert whys(found, name), name


def test_a_module_that_a_file_names_stays_unloaded():
    name = "this"
    sys.modules.pop(name, None)
    imported(method=[{**PYTHON, "provider": {"type": "python", "module": name, "func": "s"}}])
    assert name not in sys.modules


def test_names_of_secrets_and_variables_alone_are_kept():
    found = imported(
        configuration={"host": {"type": "env", "key": "HOST"}, "zone": "hunter2"},
        secrets={"vault": {"password": "hunter2", "user": {"type": "env", "key": "USER"}}},
        controls=[{"name": "tracing", "provider": {"type": "python", "module": "tracing"}}],
        extensions=[{"name": "other", "more": "hunter2"}],
        contributions={"reliability": "high"},
        runtime={"rollbacks": {"strategy": "always"}},
        unheard={"of": 1},
        tags=["cache", " shop "],
    )
    assert [(one.where, one.what) for one in found.unmapped] == [
        ("configuration", "host"),
        ("configuration", "zone"),
        ("secrets", "vault: password, user"),
        ("controls", "tracing"),
        ("runtime", "rollbacks"),
        ("extensions", "other"),
        ("contributions", "reliability"),
        ("experiment", "unheard"),
    ]
    assert "hunter2" not in repr(found)
    assert found.tags == ("cache", "shop")


def test_a_reference_shows_the_words_of_what_it_refers_to():
    found = imported(http(), method=[{"ref": "home"}])
    assert found.draft.steps[0].text == "HTTP: GET https://shop.example/"
    assert any("refers to another activity" in why for why in whys(found, "home"))


def test_of_a_file_with_more_than_anybody_reads_the_first_are_listed():
    found = imported(configuration={f"variable {number}": number for number in range(2000)})
    assert len(found.unmapped) == MOST_LISTED + 1
    assert found.unmapped[-1].why == "There is more than is listed here."


@pytest.mark.parametrize(
    ("runtime", "limits"),
    [
        ({}, Limits()),
        ({"hypothesis": {"strategy": "after-method-only"}}, Limits()),
        ({"hypothesis": {"strategy": "continuously"}}, Limits(error_ratio=0.0)),
    ],
)
def test_only_a_file_that_looks_all_along_claims_that_nothing_fails(runtime, limits):
    found = imported(http(), runtime=runtime)
    assert found.draft.hypothesis == limits
    assert bool(whys(found, "limits")) is (limits == Limits())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("curl --password=hunter2 x", f"curl --password={NOT_KEPT} x"),
        ("curl --password hunter2 x", f"curl --password {NOT_KEPT} x"),
        ('{"api_key": "hunter 2"}', f'{{"api_key": {NOT_KEPT}}}'),
        ("https://ada:hunter2@shop.example/", f"https://{NOT_KEPT}@shop.example/"),
        ("nothing to see here", "nothing to see here"),
    ],
)
def test_what_looks_like_a_secret_is_not_shown(text, shown):
    assert masked(text) == shown


# --- refused ----------------------------------------------------------------------------------------------


def deep(levels):
    return b'{"title":' + b"[" * levels + b"]" * levels + b"}"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"\xff\xfe{}",
        b'{"title": NaN}',
        b'{"title": Infinity}',
        b'{"title": 1e999}',
        b'{"title": 1e16}',
        b'{"title": ' + b"9" * 5000 + b"}",
        b'{"title": "a", "title": "b"}',
        b'{"title": "\\ud800"}',
        b'{"title": "\\u0000"}',
        b'{"\\u202e": 1}',
        deep(DEEPEST),
        deep(100_000),
        b'{"title": [' + b"1," * 60_000 + b"1]}",
        b'{"title": "' + b"a" * LARGEST_BYTES + b'"}',
    ],
    ids=lambda raw: repr(raw[:24]),
)
def test_a_file_that_cannot_be_read_is_refused(raw):
    with pytest.raises(Refused, match="Nothing was kept"):
        import_experiment(raw)


def looped():
    value = experiment()
    value["tags"] = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"title": "a", "description": "b"},
        {"title": "", "description": "b", "method": []},
        {"title": "\t\n", "description": "b", "method": []},
        {"title": 1, "description": "b", "method": []},
        {"title": "a", "description": None, "method": []},
        experiment(method={}),
        experiment(method=None),
        experiment(method=["a"]),
        experiment(method=[{}]),
        experiment(method=[{"type": "probe", "name": "a"}]),
        experiment(method=[{"type": ["probe"], "name": "a", "provider": {"type": "http"}}]),
        experiment(method=[{"type": "probe", "name": "a", "provider": {"type": "lambda"}}]),
        experiment(method=[{"type": "probe", "name": "a", "provider": {"type": ["http"]}}]),
        experiment(method=[{"type": "probe", "name": ["a"], "provider": {"type": "http"}}]),
        experiment(method=[{"ref": "nobody"}]),
        experiment(method=[{"ref": ["nobody"]}]),
        experiment(method=[{"ref": "a", "name": "a"}]),
        experiment(method=[http()] * 201),
        experiment(http(provider={"url": 3})),
        experiment(http(provider={"headers": ["a"]})),
        experiment(rollbacks={"a": 1}),
        experiment(tags=[1]),
        experiment(secrets=["a"]),
        experiment(controls={"name": "a"}),
        experiment(extensions=[1]),
        experiment(runtime=[]),
        experiment(**{"steady-state-hypothesis": []}),
        {**experiment(), 3: "a"},
        {**experiment(), "tags": {1, 2}},
        {**experiment(), "tags": b"a"},
        looped(),
    ],
)
def test_a_file_of_another_shape_is_refused(value):
    with pytest.raises(Refused, match="Nothing was kept"):
        import_experiment(value)


# --- at random --------------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    [
        "type",
        "name",
        "provider",
        "url",
        "method",
        "tolerance",
        "probes",
        "rollbacks",
        "ref",
        "http",
        "python",
        "process",
        "title",
        "description",
        "arguments",
        "pauses",
        "timeout",
        "secrets",
        "controls",
        "extensions",
        "probe",
        "action",
        "steady-state",
        "runtime",
        "hypothesis",
        "strategy",
        "regex",
        "range",
        "target",
        "status",
        "format",
        "before",
        "steady-state-hypothesis",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | WORDS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=8), inner, max_size=6)
    ),
    max_leaves=30,
)
ACTIVITIES = st.fixed_dictionaries(
    {"type": st.sampled_from(["probe", "action"]), "name": st.text(min_size=1, max_size=12)},
    optional={
        "provider": st.fixed_dictionaries(
            {"type": st.sampled_from(["http", "python", "process"])},
            optional=dict.fromkeys(
                ("url", "method", "headers", "arguments", "timeout", "module", "path"), JSON
            ),
        ),
        **dict.fromkeys(("tolerance", "pauses", "controls", "background", "ref", "secrets"), JSON),
    },
)
EXPERIMENTS = st.fixed_dictionaries(
    {
        "title": st.text(min_size=1) | JSON,
        "description": st.just("b"),
        "method": st.lists(ACTIVITIES | JSON, max_size=3),
    },
    optional={
        "steady-state-hypothesis": st.fixed_dictionaries({"probes": st.lists(ACTIVITIES, max_size=3)}) | JSON,
        **dict.fromkeys(
            ("rollbacks", "extensions", "configuration", "secrets", "controls", "runtime", "tags"), JSON
        ),
    },
)


def either(work):
    """Return what comes of it, or None where it is refused; anything else is a bug."""
    try:
        return work()
    except Refused as refusal:
        if not refusal.says.endswith("Nothing was kept."):
            raise
        return None


@given(JSON | EXPERIMENTS)
def test_whatever_comes_in_is_read_or_refused(value):
    either(lambda: import_experiment(value))
    try:
        raw = json.dumps(value).encode()
    except ValueError:
        return
    either(lambda: import_experiment(raw))


@given(st.binary(max_size=200))
def test_whatever_bytes_come_in_are_refused(raw):
    assert either(lambda: import_experiment(raw)) is None


@given(st.sampled_from(sorted(export_experiment(DRILL)["extensions"][0])), JSON)
def test_whatever_stands_in_our_own_part_is_read_or_refused(name, value):
    changed = export_experiment(DRILL)
    changed["extensions"][0][name] = value
    either(lambda: import_experiment(changed))


TEXTS = st.text(
    st.characters(
        exclude_categories=["Cs", "Cc"],
        exclude_characters="\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069⟦⟧",
    ),
    max_size=40,
)


@given(
    st.lists(
        st.builds(
            DrillProbe,
            st.uuids().map(str),
            st.sampled_from(["https://shop.example/", "http://shop.example/a?b=$c&d=${e}"]),
            st.sampled_from(["GET", "HEAD"]),
            st.integers(100, 300),
            st.integers(300, 599),
            TEXTS,
            st.floats(0.1, 60),
        ),
        max_size=5,
    ),
    TEXTS,
    TEXTS,
)
def test_every_plan_comes_back_as_it_went(probes, title, done_when):
    steps = (
        step(1, StepKind.BY_HAND, title),
        replace(step(2, StepKind.AUTOMATED, title, injects=True), done_when=done_when),
    )
    plan = replace(DRILL, scenario_title=title, probes=tuple(probes), steps=steps)
    found = either(lambda: import_experiment(json.dumps(export_experiment(plan)).encode()))
    # A title of nothing that can be printed is none.
    assert found is not None or not any(one.isprintable() and not one.isspace() for one in title)
    if found is not None:
        assert found.draft == draft_of(plan)
