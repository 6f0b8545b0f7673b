"""Experiments of the Chaos Toolkit: written from a drill's plan, and read into a draft of one. Pure.

    export_experiment(plan) -> dict              passes `chaos validate`; its HTTP probes run with `chaos run`
    import_experiment(bytes or dict) -> Imported

What the portal does at the provider has no counterpart that `chaos run` could carry out: it stands in the file's method as steps
by hand, each a look at the site after the time that the step takes. What an imported file would run (`python`, `process`, requests
that change something) is shown to people as words. It is never run, imported or asked. Format: reference A7 and chaostoolkit-lib 1.44.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode, urlsplit

from drills.interchange import reading
from drills.interchange.drafts import (
    LONGEST_LINE,
    LONGEST_NAME,
    LONGEST_TEXT,
    LONGEST_TIMEOUT_S,
    MOST_PROBES,
    Draft,
    draft_from_plain,
    draft_of,
    draft_to_plain,
    why_no_probe,
)
from drills.interchange.reading import Json, bad, line, list_of, object_of, objects_of, text_of
from drills.scenarios.types import LONGEST_STEP_S, MOST_STEPS, SHORTEST_STEP_S, Role, StepKind
from drills.scenarios.words import INJECTIONS, STEP_KINDS
from drills.types import DrillPlan, DrillProbe, Limits, PlannedStep

EXTENSION = "steady-state"
MOST_ACTIVITIES = 200
MOST_LISTED = 500
USUAL_STEP_S = 60
USUAL_TIMEOUT_S = 5.0

# --- written ----------------------------------------------------------------------------------------------


def export_experiment(plan: DrillPlan) -> Json:
    """Return a plan as an experiment, without servers, people, times and emergency plan."""
    return experiment_of(draft_of(plan))


def experiment_of(draft: Draft) -> Json:
    """Return a draft as an experiment; reading that gives the same draft back."""
    title = draft.title.strip() or "A drill"
    return {
        "version": "1.0.0",
        "title": title,
        "description": draft.objective.strip() or title,
        "tags": ["steady-state", draft.kind.value, draft.environment.value, draft.injection.value],
        "contributions": {
            "reliability": "high",
            "availability": "high",
            "performance": "none" if draft.hypothesis.p95_ms is None else "medium",
        },
        "steady-state-hypothesis": {
            "title": f"The site is as it should be: {title}",
            "probes": [activity for one in draft.probes for activity in probe_activities(one)],
        },
        "method": step_activities(draft),
        "rollbacks": undo_activities(draft),
        "extensions": [{"name": EXTENSION, **draft_to_plain(draft)}],
    }


def probe_activities(probe: DrillProbe) -> list[Json]:
    """Return a probe as activities of the hypothesis: an activity has one tolerance, so a text has its own."""
    low, high = probe.expected_status_low, probe.expected_status_high
    status: Any = low if low == high else {"type": "range", "target": "status", "range": [low, high]}
    found = [{"type": "probe", "name": probe.name, "tolerance": status, "provider": _asked(probe)}]
    if probe.must_contain:
        pattern = {"type": "regex", "target": "body", "pattern": re.escape(probe.must_contain)}
        found.append(
            {"type": "probe", "name": f"{probe.name}: text", "tolerance": pattern, "provider": _asked(probe)}
        )
    return found


def _asked(probe: DrillProbe) -> Json:
    # `$` begins a variable there, and an address means the same with it written as %24.
    timeout_s = int(probe.timeout_s) if probe.timeout_s.is_integer() else probe.timeout_s
    url = probe.url.replace("$", "%24")
    return {"type": "http", "url": url, "method": probe.method, "timeout": timeout_s}


def step_activities(draft: Draft) -> list[Json]:
    """Return the script as steps by hand. Without a probe there is nothing to look at, so the method stays empty."""
    if not draft.probes:
        return []
    injection = INJECTIONS[draft.injection].name
    return [
        {
            "type": "probe",
            "name": _variable_free(
                f"Step {one.number}, {STEP_KINDS[one.kind]}: {one.title}{f' ({injection})' if one.injects else ''}."
                f" Done when: {one.done_when}"
            ),
            "provider": _asked(draft.probes[0]),
            # The time in which somebody does it; then the site is looked at.
            "pauses": {"before": one.expected_s},
        }
        for one in draft.steps
    ]


def undo_activities(draft: Draft) -> list[Json]:
    """Return how the disruption is undone, as one step by hand."""
    if not draft.probes:
        return []
    name = _variable_free(f"Undo, by hand: {line(draft.undo, LONGEST_LINE)}")
    return [{"type": "probe", "name": name, "provider": _asked(draft.probes[0])}]


def _variable_free(text: str) -> str:
    return text.replace("${", "$ {")


# --- read -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    """One activity of an imported file, in words. `provider` is http, python, process, ref or what the file calls it."""

    where: str
    name: str
    kind: str
    provider: str
    says: str


@dataclass(frozen=True)
class Unmapped:
    """One thing of an imported file that has no counterpart, and why. `what` is its name, never a value of secrets."""

    where: str
    what: str
    why: str


@dataclass(frozen=True)
class Imported:
    """What was read of an experiment. `is_ours`: the portal wrote the file and nobody changed it, so the draft is whole."""

    draft: Draft
    hypothesis_title: str
    tags: tuple[str, ...]
    shown: tuple[Shown, ...]
    unmapped: tuple[Unmapped, ...]
    is_ours: bool = False

    @property
    def title(self) -> str:
        """What the file calls itself."""
        return self.draft.title

    @property
    def description(self) -> str:
        """What the file says it is for."""
        return self.draft.objective


_READ = frozenset(
    {
        "version",
        "title",
        "description",
        "tags",
        "contributions",
        "steady-state-hypothesis",
        "method",
        "rollbacks",
        "extensions",
        "configuration",
        "secrets",
        "controls",
        "runtime",
    }
)
_ALL_ALONG = frozenset({"continuously", "during-method-only"})


def import_experiment(raw: bytes | Mapping[str, Any]) -> Imported:
    """Return what an experiment comes to as a draft, with everything listed that has no counterpart. Raises Refused."""
    value = reading.read_object(raw)
    title = text_of(value, "title", "The experiment", LONGEST_NAME, needed=True)
    description = text_of(value, "description", "The experiment", LONGEST_TEXT, needed=True)
    if not isinstance(value.get("method"), list):
        raise bad("The experiment has no `method`, which is a list and may be empty.")
    file = _File(value)
    file.read()
    draft = Draft(
        title,
        description,
        tuple(file.steps),
        file.limits,
        "\n".join(file.undo)[:LONGEST_TEXT],
        tuple(file.probes),
    )
    ours = _our_own(value)
    if ours is not None and _is_unchanged(value, ours):
        return Imported(ours, file.hypothesis_title, file.tags, tuple(file.shown), (), is_ours=True)
    if ours is not None:
        file.leave(
            "extensions",
            EXTENSION,
            "The file was changed after the portal wrote it, so its own part is set aside.",
        )
    return Imported(draft, file.hypothesis_title, file.tags, tuple(file.shown), tuple(file.unmapped))


def _our_own(value: Json) -> Draft | None:
    found = [
        one
        for one in objects_of(value, "extensions", "the experiment", MOST_ACTIVITIES)
        if one.get("name") == EXTENSION
    ]
    if not found:
        return None
    return draft_from_plain({name: item for name, item in found[0].items() if name != "name"})


def _is_unchanged(value: Json, draft: Draft) -> bool:
    """Whether all that a file says is what the portal writes of that draft: what people see in it must be what they get."""
    written: Json = json.loads(json.dumps(experiment_of(draft)))
    # The toolkit adds `dry`, without a value, to the copy in its journals.
    return {name: item for name, item in value.items() if (name, item) != ("dry", None)} == written


class _File:
    """One experiment while it is read."""

    def __init__(self, value: Json) -> None:
        self.value = value
        self.steps: list[PlannedStep] = []
        self.probes: list[DrillProbe] = []
        self.undo: list[str] = []
        self.shown: list[Shown] = []
        self.unmapped: list[Unmapped] = []
        self.limits = Limits()
        self.hypothesis_title = ""
        self.tags: tuple[str, ...] = ()
        self.named: dict[str, Json] = {}
        self.words: dict[str, str] = {}

    def leave(self, where: str, what: str, why: str) -> None:
        if len(self.unmapped) == MOST_LISTED:
            self.unmapped.append(Unmapped("experiment", "more", "There is more than is listed here."))
        if len(self.unmapped) > MOST_LISTED:
            return
        self.unmapped.append(Unmapped(where, line(what, LONGEST_NAME) or "?", why))

    def read(self) -> None:
        value = self.value
        self._read_tags()
        hypothesis = object_of(value, "steady-state-hypothesis", "the experiment")
        parts = {
            "steady-state-hypothesis": objects_of(
                hypothesis or {}, "probes", "the hypothesis", MOST_ACTIVITIES
            ),
            "method": objects_of(value, "method", "the experiment", MOST_ACTIVITIES),
            "rollbacks": objects_of(value, "rollbacks", "the experiment", MOST_ACTIVITIES),
        }
        for activities in parts.values():
            self.named |= {one["name"]: one for one in activities if isinstance(one.get("name"), str)}
        if hypothesis is None:
            self.leave("steady-state-hypothesis", "none", "The file claims nothing; enter limits and probes.")
        else:
            self.hypothesis_title = text_of(hypothesis, "title", "the hypothesis", LONGEST_LINE)
            self._controls(hypothesis, "steady-state-hypothesis")
        for number, one in enumerate(parts["steady-state-hypothesis"], start=1):
            self._probe(one, f"steady-state-hypothesis.probes.{number}")
        for number, one in enumerate(parts["method"], start=1):
            self._step(one, f"method.{number}")
        for number, one in enumerate(parts["rollbacks"], start=1):
            self._undo(one, f"rollbacks.{number}")
        self._rest()

    def _read_tags(self) -> None:
        tags = list_of(self.value, "tags", "the experiment", MOST_ACTIVITIES)
        if any(not isinstance(one, str) for one in tags):
            raise bad("The tags of the experiment are no texts.")
        self.tags = tuple(found for one in tags if (found := line(one, LONGEST_NAME)))

    def _rest(self) -> None:
        """List what belongs to the whole file: names alone of what may hold secrets."""
        value = self.value
        for name in object_of(value, "configuration", "the experiment") or {}:
            self.leave("configuration", name, "Variables are not filled in; only the name is shown.")
        for group, secrets in (object_of(value, "secrets", "the experiment") or {}).items():
            names = ", ".join(secrets) if isinstance(secrets, dict) else ""
            self.leave(
                "secrets",
                f"{group}: {names}" if names else group,
                "Secrets are never kept; only names are shown.",
            )
        self._controls(value, "")
        runtime = object_of(value, "runtime", "the experiment") or {}
        strategy = (object_of(runtime, "hypothesis", "`runtime`") or {}).get("strategy")
        if isinstance(strategy, str) and strategy in _ALL_ALONG:
            # Looked at all along, one bad answer ends such an experiment: nothing may fail.
            self.limits = Limits(error_ratio=0.0)
        elif self.probes:
            self.leave(
                "steady-state-hypothesis",
                "limits",
                "The file looks before and after alone and knows no times: enter how soon the site must have recovered.",
            )
        if runtime:
            self.leave("runtime", ", ".join(runtime), "A drill always undoes, and looks all along.")
        for one in objects_of(value, "extensions", "the experiment", MOST_ACTIVITIES):
            if one.get("name") != EXTENSION:
                self.leave("extensions", str(one.get("name", "?")), "It belongs to another program.")
        for name in object_of(value, "contributions", "the experiment") or {}:
            self.leave("contributions", name, "A drill says in its scenario what it proves and what not.")
        for name, item in value.items():
            if name not in _READ and item is not None:
                self.leave("experiment", name, "The format has no such field.")

    def _controls(self, holder: Json, where: str) -> None:
        for one in objects_of(holder, "controls", where or "the experiment", MOST_ACTIVITIES):
            name = one.get("name")
            self.leave(
                f"{where}.controls" if where else "controls",
                name if isinstance(name, str) else "?",
                "Controls are code of another program; they are never run.",
            )

    # -- activities

    def _known(self, activity: Json, where: str) -> tuple[Json, str, str]:
        """Return an activity (the one it refers to), its name and its provider's kind; list what is set aside of it."""
        ref = activity.get("ref")
        if ref is not None:
            if not isinstance(ref, str) or ref not in self.named:
                raise bad(f"`{where}` refers to an activity that the file does not have.")
            self.leave(where, ref, "It refers to another activity, whose words are shown in its place.")
            activity = {**self.named[ref]}
            if "ref" in activity:
                raise bad(f"`{where}` refers to a reference.")
        called = f"`{where}`"
        name = text_of(activity, "name", called, LONGEST_LINE, needed=True)
        if activity.get("type") not in ("probe", "action"):
            raise bad(f"{called} is neither a probe nor an action.")
        provider = object_of(activity, "provider", called)
        if provider is None or not isinstance(provider.get("type"), str):
            raise bad(f"{called} has no provider with a type.")
        kind = provider["type"]
        if kind not in _WORDS:
            raise bad(f"The provider of {called} is none of {', '.join(_WORDS)}.")
        if activity.get("background"):
            self.leave(where, f"{name}: background", "Steps of a drill follow one after the other.")
        self._controls(activity, where)
        if names := ", ".join(object_of(activity, "configuration", called) or {}):
            self.leave(
                where, f"{name}: configuration {names}", "Variables are not filled in; only names are shown."
            )
        if activity.get("secrets") or provider.get("secrets"):
            self.leave(where, f"{name}: secrets", "Secrets are never kept.")
        # Put into words once, however often a file refers to it.
        words = self.words.get(ref) if ref is not None else None
        if words is None:
            words = _WORDS[kind](provider)
        if ref is not None:
            self.words[ref] = words
        self.shown.append(Shown(where, name, activity["type"], kind, words))
        return activity, name, kind

    def _probe(self, activity: Json, where: str) -> None:
        activity, name, kind = self._known(activity, where)
        if kind != "http":
            self.leave(where, name, f"A {kind} provider is shown, never run. Choose a probe in its place.")
            return
        assert isinstance(activity["provider"], dict)
        found = self._mapped(activity, activity["provider"], name, where)
        if isinstance(found, str):
            self.leave(where, name, f"This probe is not taken over: it {found}.")
        elif len(self.probes) >= MOST_PROBES:
            self.leave(where, name, f"A drill has at most {MOST_PROBES} probes.")
        else:
            # Answers are kept by the probe's name.
            taken = {one.name for one in self.probes}
            names = (found.name, *(f"{found.name[: LONGEST_NAME - 6]} ({number})" for number in range(2, 99)))
            self.probes.append(replace(found, name=next(one for one in names if one not in taken)))

    def _mapped(self, activity: Json, provider: Json, name: str, where: str) -> DrillProbe | str:
        """Return an HTTP probe as ours, or why it cannot be, as the rest of "it …"."""
        url, method = provider.get("url"), provider.get("method", "GET")
        if not isinstance(url, str) or not isinstance(method, str):
            raise bad(f"The address or the method of `{where}` is no text.")
        if "${" in url:
            return "goes to an address with variables"
        if _holds_secret(url):
            return "goes to an address that may hold a secret, which the portal does not keep"
        arguments = provider.get("arguments")
        if arguments:
            if not isinstance(arguments, dict) or any(
                isinstance(one, list | dict) for one in arguments.values()
            ):
                return "sends arguments that are no plain fields"
            if any("${" in str(one) for one in arguments.values()):
                return "sends arguments with variables"
            if any(_SECRET.search(one) for one in arguments):
                return "sends what may be a secret, which the portal does not keep"
            url += ("&" if _has_query(url) else "?") + urlencode(arguments)
        headers = object_of(provider, "headers", f"`{where}`") or {}
        if any(_SECRET.search(one) for one in headers):
            return "sends headers that may hold secrets, which the portal does not keep"
        tolerated = _tolerated(activity.get("tolerance"))
        if isinstance(tolerated, str):
            return tolerated
        timeout_s = self._timeout(provider, name, where)
        low, high, text = tolerated
        probe = DrillProbe(line(name, LONGEST_NAME), url, method.upper(), low, high, text, timeout_s)
        if why := why_no_probe(probe):
            return why
        if headers:
            self.leave(
                where,
                f"{name}: headers {', '.join(headers)}",
                "The portal's probes send no headers of their own.",
            )
        if provider.get("verify_tls") is False:
            self.leave(where, f"{name}: verify_tls", "The portal always checks certificates.")
        if _is_pair(activity.get("tolerance")):
            self.leave(
                where,
                f"{name}: tolerance {low} to {high}",
                "Read as bounds, as the format says; `chaos run` itself takes only these two for a status.",
            )
        return probe

    def _timeout(self, provider: Json, name: str, where: str) -> float:
        found = provider.get("timeout")
        parts = found if isinstance(found, list) else [] if found is None else [found]
        if not parts:
            return USUAL_TIMEOUT_S
        if any(isinstance(one, bool) or not isinstance(one, int | float) or one <= 0 for one in parts):
            self.leave(
                where,
                f"{name}: timeout",
                f"It is no number of seconds; the probe waits {USUAL_TIMEOUT_S:g} s.",
            )
            return USUAL_TIMEOUT_S
        total = float(sum(parts))
        if total > LONGEST_TIMEOUT_S:
            self.leave(
                where, f"{name}: timeout", f"The portal's probes wait {LONGEST_TIMEOUT_S:g} s at most."
            )
        return min(total, LONGEST_TIMEOUT_S)

    def _step(self, activity: Json, where: str) -> None:
        activity, name, kind = self._known(activity, where)
        if kind == "http":
            self.leave(where, name, "The portal sends no requests of other programs: it is a step by hand.")
        else:
            self.leave(where, name, f"A {kind} provider is shown, never run: it is a step by hand.")
        pauses_s = self._pauses(activity, name, where)
        if len(self.steps) >= MOST_STEPS:
            self.leave(where, name, f"A script has at most {MOST_STEPS} steps.")
            return
        injects = activity["type"] == "action" and not any(one.injects for one in self.steps)
        self.steps.append(
            PlannedStep(
                len(self.steps) + 1,
                StepKind.BY_HAND,
                line(name, LONGEST_NAME),
                self.shown[-1].says,
                Role.FACILITATOR,
                max(SHORTEST_STEP_S, min(LONGEST_STEP_S, int(pauses_s) or USUAL_STEP_S)),
                "Somebody says that it is done.",
                injects,
            )
        )

    def _pauses(self, activity: Json, name: str, where: str) -> float:
        pauses = object_of(activity, "pauses", f"`{where}`") or {}
        found = [
            one
            for one in pauses.values()
            if isinstance(one, int | float) and not isinstance(one, bool) and one > 0
        ]
        if pauses:
            self.leave(
                where, f"{name}: pauses", "They are counted into the time that the step is expected to take."
            )
        return min(sum(found), float(LONGEST_STEP_S))

    def _undo(self, activity: Json, where: str) -> None:
        activity, name, kind = self._known(activity, where)
        self._pauses(activity, name, where)
        self.leave(where, name, f"A rollback ({kind}) is shown, never run: people undo by hand.")
        self.undo.append(f"{name}: {self.shown[-1].says}")


def _has_query(url: str) -> bool:
    """Whether an address has a query already; one that cannot be read has none."""
    try:
        return bool(urlsplit(url).query)
    except ValueError:
        return False


def _is_pair(tolerance: Any) -> bool:
    return isinstance(tolerance, list) and len(tolerance) == 2 and tolerance[1] != tolerance[0] + 1


def _is_status(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599


def _tolerated(tolerance: Any) -> tuple[int, int, str] | str:
    """Return lowest and highest status and the text that must be there, or why it is none of ours, as the rest of "it …"."""
    match tolerance:
        case bool() | None | str():
            return "has no tolerance that looks at a status or a text"
        case int() if _is_status(tolerance):
            return tolerance, tolerance, ""
        case [*items] if items and all(map(_is_status, items)):
            return _in_a_row(items)
        case {"type": "range", "target": "status", "range": [low, high]} if _is_status(low) and _is_status(
            high
        ):
            return (low, high, "") if low <= high else "tolerates no status at all"
        case {"type": "regex", "target": "body", "pattern": str(pattern)}:
            text = _literal(pattern)
            return (100, 599, text) if text else "looks for a pattern, and the portal for plain text alone"
        case {"type": str(kind)}:
            return f"has a tolerance of the type {line(kind, 20)} that has no counterpart"
    return "has a tolerance that has no counterpart"


def _in_a_row(statuses: Sequence[int]) -> tuple[int, int, str] | str:
    low, high = min(statuses), max(statuses)
    if len(statuses) == 2:
        return (low, high, "") if statuses[0] <= statuses[1] else "tolerates no status at all"
    if set(statuses) == set(range(low, high + 1)):
        return low, high, ""
    return "tolerates statuses that are not in a row"


def _literal(pattern: str) -> str:
    """Return the plain text that a pattern looks for; "" for one that is more than that."""
    text = re.sub(r"\\([^A-Za-z0-9])", r"\1", pattern)
    if re.escape(text) != pattern and (text != pattern or re.search(r"[.^$*+?{}\[\]|()\\]", text)):
        return ""
    return text if "\n" not in text else ""


# --- the words of providers -------------------------------------------------------------------------------

_SECRET = re.compile(r"auth|cookie|cred|key|pass|pin\b|secret|sess|sign|token", re.IGNORECASE)
# Anchored at the beginning of a word and possessive, so that no text takes longer than its length.
_INLINE = re.compile(
    r"(?i)(?<![\w.-])(?=[\w.-]*?(?:auth|cred|key|pass|secret|token))([\w.-]++)(\"?\s*+[=:]\s*+|\s++)"
    r"(\"[^\"]*\"|'[^']*'|\S+)"
)
_IN_URL = re.compile(r"(?<!\w)(\w++://)[^/\s?#]*@")
NOT_KEPT = "(not kept)"


BLANKED = "not-kept"
"""What stands in an address that was handed out in place of what may be a secret."""


def _holds_secret(url: str) -> bool:
    """Whether a field of an address may be a secret, and has a value."""
    query = url.partition("?")[2].partition("#")[0]
    fields = [one.partition("=") for one in query.split("&")]
    return any(value not in {"", BLANKED} and is_secret(name) for name, _, value in fields)


def is_secret(name: str) -> bool:
    """Whether the name of a field or of a part of an address says that its value may be a secret."""
    return _SECRET.search(name) is not None


def masked(text: str) -> str:
    """Return a text without what looks like a password or a token in it, cut far behind what is shown of it."""
    text = text[: 2 * LONGEST_TEXT]
    return _INLINE.sub(rf"\1\2{NOT_KEPT}", _IN_URL.sub(rf"\1{NOT_KEPT}@", text))


def _value(value: Any, name: str = "") -> str:
    if name and _SECRET.search(name):
        return NOT_KEPT
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_value(item, key)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        # Of a command's words, the one after `--password` is it.
        before = ["", *(one if isinstance(one, str) and "=" not in one else "" for one in value)]
        return f"[{', '.join(_value(item, was) for was, item in zip(before, value, strict=False))}]"
    return masked(value) if isinstance(value, str) else json.dumps(value)


def _fields(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} = {_value(item, name)}" for name, item in value.items())
    return "" if value is None else _value(value)


def _words(parts: Iterable[str]) -> str:
    return line(" ".join(part for part in parts if part), LONGEST_TEXT)


def _word(value: Any) -> str:
    return masked(value) if isinstance(value, str) else "?"


def _python_words(provider: Json) -> str:
    called = f"{_word(provider.get('module'))}.{_word(provider.get('func'))}"
    return _words(["Python:", f"{called}({_fields(provider.get('arguments'))})"])


def _process_words(provider: Json) -> str:
    return _words(["Process:", _word(provider.get("path")), _fields(provider.get("arguments"))])


def _http_words(provider: Json) -> str:
    headers = provider.get("headers")
    return _words(
        [
            "HTTP:",
            _word(provider.get("method", "GET")),
            _word(provider.get("url")),
            f"with {fields}" if (fields := _fields(provider.get("arguments"))) else "",
            # Of headers only the names: any of them may hold a secret.
            f"(headers: {', '.join(headers)})" if isinstance(headers, dict) and headers else "",
        ]
    )


_WORDS = {"http": _http_words, "python": _python_words, "process": _process_words}
