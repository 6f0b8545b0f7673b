"""Two versions of a scenario side by side: which fields differ, and where in their text. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from drills.scenarios import words
from drills.scenarios.types import Scenario, ScenarioStep


@dataclass(frozen=True)
class Piece:
    """A stretch of text: `is_gone` is only in the older version, `is_new` only in the newer one."""

    text: str
    is_gone: bool = False
    is_new: bool = False


@dataclass(frozen=True)
class Line:
    """One line of a field as it goes from one version to the other."""

    pieces: tuple[Piece, ...]

    @property
    def is_same(self) -> bool:
        """Whether the line stands in both versions alike."""
        return not any(one.is_gone or one.is_new for one in self.pieces)


@dataclass(frozen=True)
class Difference:
    """A field that differs, with all of its lines."""

    label: str
    lines: tuple[Line, ...]


# Comparing words takes as many steps as both lines have words, multiplied. After so many, lines are shown whole.
MOST_PAIRS = 3_000_000
# Of two lines that share less, the old one stands whole before the new one.
ALIKE = 0.5


def differences(older: Scenario, newer: Scenario) -> list[Difference]:
    """Return the fields in which two versions differ, in the order of the page."""
    found = []
    budget = _Budget(MOST_PAIRS)
    for (label, before), (_, after) in zip(_fields_of(older), _fields_of(newer), strict=True):
        if before != after:
            found.append(Difference(label, tuple(_compared(before, after, budget))))
    return found


def _fields_of(scenario: Scenario) -> list[tuple[str, list[str]]]:
    """Return what a reader sees of a scenario, field by field, as lines."""
    return [
        ("Title", [scenario.title]),
        ("Purpose", _paragraphs(scenario.purpose)),
        ("How it is injected", [words.INJECTIONS[scenario.injection].name]),
        ("What is hit", [words.TARGETS[scenario.targets], f"at least {scenario.fewest_targets}"]),
        ("May be held as", [words.KINDS[one] for one in scenario.kinds]),
        ("May be held in", [words.ENVIRONMENTS[one] for one in scenario.environments]),
        ("What it proves", list(scenario.proves)),
        ("What it does not prove", list(scenario.does_not_prove)),
        ("Risks", list(scenario.risks)),
        ("Prerequisites", list(scenario.prerequisites)),
        ("Script", [line for step in scenario.steps for line in _step_lines(step)]),
        ("Hypothesis", list(words.sentences_of(scenario.hypothesis))),
        ("Checks after the boot", [f"{one.title}: {one.text}" for one in scenario.after_boot]),
        ("Questions to the emergency plan", list(scenario.questions)),
        ("How it is undone", _paragraphs(scenario.undo)),
        (
            "Next drill",
            [
                f"after {scenario.repeat_after_days} days",
                f"after {scenario.repeat_after_failure_days} days if it failed",
            ],
        ),
    ]


def _step_lines(step: ScenarioStep) -> list[str]:
    about = f"{words.STEP_KINDS[step.kind]}, {words.ROLES[step.role]}, {words.in_words(step.expected_s)}"
    injects = ", injects" if step.injects else ""
    return [f"{step.title} ({about}{injects})", *_paragraphs(step.text), f"Done when: {step.done_when}"]


def _paragraphs(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


@dataclass
class _Budget:
    left: int

    def allows(self, pairs: int) -> bool:
        self.left -= pairs
        return self.left >= 0


def _compared(before: list[str], after: list[str], budget: _Budget) -> Iterator[Line]:
    for tag, start, end, new_start, new_end in difflib.SequenceMatcher(None, before, after).get_opcodes():
        gone, new = before[start:end], after[new_start:new_end]
        if tag == "equal":
            yield from (Line((Piece(line),)) for line in gone)
        elif len(gone) == len(new):
            # As many lines as before: each was reworded.
            yield from (Line(tuple(_words(old, now, budget))) for old, now in zip(gone, new, strict=True))
        else:
            yield from (Line((Piece(line, is_gone=True),)) for line in gone)
            yield from (Line((Piece(line, is_new=True),)) for line in new)


def _words(old: str, now: str, budget: _Budget) -> Iterator[Piece]:
    before, after = re.findall(r"\s+|\S+", old), re.findall(r"\s+|\S+", now)
    if budget.allows(len(before) * len(after)):
        matcher = difflib.SequenceMatcher(None, before, after)
        if matcher.ratio() >= ALIKE:
            for tag, start, end, new_start, new_end in matcher.get_opcodes():
                if tag == "equal":
                    yield Piece("".join(before[start:end]))
                    continue
                if gone := "".join(before[start:end]):
                    yield Piece(gone, is_gone=True)
                if new := "".join(after[new_start:new_end]):
                    yield Piece(new, is_new=True)
            return
    yield Piece(old, is_gone=True)
    yield Piece(" ")
    yield Piece(now, is_new=True)
