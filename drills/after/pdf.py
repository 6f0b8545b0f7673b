"""The report of a drill as PDF: a value in, bytes out; no request, database or clock.

The font is embedded (`portal/fonts`, see static/vendor/README.md). What it cannot write stands as □, and the last page says so; nothing
that people typed can break the document. Import this where a report is asked for: the library takes a second.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from fpdf import FPDF
from fpdf.enums import XPos, YPos
from fpdf.fonts import TTFFont

from drills import figures
from drills.after.axis import Axis
from drills.after.report import WholeReport
from drills.scenarios.words import ENVIRONMENTS, KINDS, ROLES
from portal import fonts as fonts_of_portal
from portal.ui.charts import TimedLane, spoken, stacked
from portal.ui.states import LOOKS

# Each font that is embedded is told of in a dozen lines.
logging.getLogger("fontTools").setLevel(logging.WARNING)
FONTS = Path(fonts_of_portal.__file__).parent
DRILL = "FIRE DRILL, not a real incident"
MISSING = "□"
_LONGEST_WORDS = 4000
_MOST_LINES = 60
INK, SOFT, LINE = (24, 28, 36), (96, 104, 118), (200, 206, 214)
BAD, GOOD, PLAIN, SHADE = (176, 32, 32), (22, 112, 62), (11, 106, 123), (250, 232, 232)
_TONES = {"bad": BAD, "good": GOOD}
_FAMILY = "report"
_LEFT = 18.0


class _Sheet(FPDF):
    """Pages that say on each that it was a drill, whose, and which page of how many."""

    def __init__(self, account: str, title: str, digest: str) -> None:
        super().__init__(format="A4")
        self.add_font(_FAMILY, "", FONTS / "DejaVuSans.ttf")
        self.add_font(_FAMILY, "B", FONTS / "DejaVuSans-Bold.ttf")
        self._known = self._writes("") & self._writes("B")
        self.has_missing = False
        self.account, self.about, self.digest = self.clean(account, 80), self.clean(title, 80), digest
        self.set_margins(_LEFT, 24, _LEFT)
        self.set_auto_page_break(True, 20)
        self.set_title(f"{DRILL}: {title}")
        self.set_lang("en")
        self.set_producer("Steady State")

    def _writes(self, style: str) -> frozenset[int]:
        """Return the characters that an embedded font has, by their numbers."""
        font = self.fonts[f"{_FAMILY}{style}"]
        assert isinstance(font, TTFFont)
        return frozenset(font.cmap)

    # What fpdf2 calls by itself.

    def header(self) -> None:
        """Write on top that it was a drill, and whose."""
        self.set_y(10)
        self.set_font(_FAMILY, "B", 9)
        self.set_text_color(*BAD)
        self.cell(self.epw / 2, 6, DRILL)
        self.set_font(_FAMILY, "", 9)
        self.set_text_color(*SOFT)
        self.cell(self.epw / 2, 6, self.account, align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.set_draw_color(*LINE)
        self.line(self.l_margin, 17, self.w - self.r_margin, 17)
        self.set_y(24)

    def footer(self) -> None:
        """Write below what it is about, and the page's number."""
        self.set_y(-14)
        self.set_font(_FAMILY, "", 8)
        self.set_text_color(*SOFT)
        self.cell(self.epw * 0.75, 6, f"{self.about}  ·  plan {self.digest[:12]}")
        self.cell(self.epw * 0.25, 6, f"Page {self.page_no()} of {{nb}}", align="R")

    # What the report is made of.

    def clean(self, text: str, longest: int = _LONGEST_WORDS, *, most_lines: int = 0) -> str:
        """Return a text that the font can write, cut where it is longer than any that is kept; its first line breaks stay."""
        found = []
        for char in unicodedata.normalize("NFC", text):
            if char == "\n":
                found.append(char)
            elif char.isspace():
                found.append(" ")
            elif unicodedata.category(char) in {"Cc", "Cf", "Mn"} and ord(char) not in self._known:
                continue
            elif unicodedata.category(char) in {"Cc", "Cf"}:
                # Marks that turn the direction of what follows are nothing to print.
                continue
            elif ord(char) in self._known and unicodedata.bidirectional(char) not in {"R", "AL", "AN"}:
                found.append(char)
            else:
                self.has_missing = True
                found.append(MISSING)
        # This is how the library writes how many pages there are.
        whole = "".join(found).replace("{nb}", "{ nb }")
        head, *lines = whole.split("\n")
        whole = "\n".join([head, *lines[:most_lines]]) + "".join(f" {one}" for one in lines[most_lines:])
        return whole if len(whole) <= longest else f"{whole[: longest - 1]}…"

    def words(
        self,
        text: str,
        *,
        size: float = 9.5,
        bold: bool = False,
        colour: tuple[int, int, int] = INK,
        width: float = 0,
    ) -> None:
        """Write a paragraph; it goes on over pages, and words longer than a line are cut into lines."""
        self.set_font(_FAMILY, "B" if bold else "", size)
        self.set_text_color(*colour)
        self.multi_cell(
            width,
            size * 0.5,
            self.clean(text, most_lines=_MOST_LINES) or " ",
            align="L",
            new_x=XPos.LMARGIN,
            new_y=YPos.NEXT,
        )

    def heading(self, text: str) -> None:
        """Begin a part; never at the foot of a page."""
        if self.will_page_break(24):
            self.add_page()
        self.ln(4)
        self.words(text, size=12.5, bold=True)
        self.ln(1)

    def line_of(self, label: str, text: str) -> None:
        """Write a label with its text beside."""
        if self.will_page_break(10):
            self.add_page()
        top, page = self.get_y(), self.page_no()
        self.set_font(_FAMILY, "", 9)
        self.set_text_color(*SOFT)
        self.cell(36, 4.75, label)
        self.set_left_margin(_LEFT + 36)
        self.set_xy(_LEFT + 36, top)
        self.words(text)
        self.set_left_margin(_LEFT)
        if self.page_no() == page:
            self.set_y(max(self.get_y(), top + 4.75))
        self.set_x(_LEFT)
        self.ln(1)

    def rows(self, heads: Sequence[str], widths: Sequence[float], rows: Iterable[Sequence[str]]) -> None:
        """Write a table; its head stands on each page, and no row is cut unless it is longer than a page."""
        self._head(heads, widths)
        for row in rows:
            texts = [self.clean(one, 1200) or " " for one in row]
            self.set_font(_FAMILY, "", 8.5)
            lines = [self._lines_of(text, width - 2) for text, width in zip(texts, widths, strict=True)]
            height = max(lines) * 4.2
            if self.get_y() + height + 1.5 > self.page_break_trigger:
                self.add_page()
                self._head(heads, widths)
            top, left = self.get_y(), _LEFT
            self.set_text_color(*INK)
            self.set_font(_FAMILY, "", 8.5)
            for text, width in zip(texts, widths, strict=True):
                self.set_xy(left, top)
                self.multi_cell(width - 2, 4.2, text, align="L")
                left += width
            self.set_draw_color(*LINE)
            self.line(_LEFT, top + height + 0.7, self.w - self.r_margin, top + height + 0.7)
            self.set_xy(_LEFT, top + height + 1.5)

    def _lines_of(self, text: str, width: float) -> int:
        found: Any = self.multi_cell(width, 4.2, text, dry_run=True, output="LINES", align="L")
        return len(found)

    def _head(self, heads: Sequence[str], widths: Sequence[float]) -> None:
        self.set_font(_FAMILY, "B", 8.5)
        self.set_text_color(*SOFT)
        for head, width in zip(heads, widths, strict=True):
            self.cell(width, 5, head)
        self.ln(5.5)


def _word(state: str) -> str:
    return LOOKS[state].word


def _when(at: datetime | None, zone: ZoneInfo, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    return "" if at is None else f"{at.astimezone(zone):{form}}"


def report_pdf(whole: WholeReport, zone: ZoneInfo) -> bytes:
    """Return the report as PDF; times by the wall of `zone`."""
    held, report = whole.held, whole.report
    drill, plan = held.drill, report.plan
    sheet = _Sheet(drill.account.name, drill.title, drill.digest)
    if held.ended_at is not None:
        # The same report is the same file, whenever it is asked for.
        sheet.set_creation_date(held.ended_at)
    sheet.add_page()
    sheet.words(drill.title, size=18, bold=True)
    sheet.ln(1)
    sheet.words(
        f"{plan.scenario_title}: {KINDS[plan.kind]}, {ENVIRONMENTS[plan.environment]}. Times are by the wall of {zone.key}.",
        colour=SOFT,
    )
    _result(sheet, whole, zone)
    _findings(sheet, whole, zone)
    sheet.heading("People and systems, on one axis")
    _picture(sheet, whole.axis)
    sheet.rows(
        ("No.", "When", "Since", "Who", "What"),
        (11, 20, 25, 32, 86),
        [
            (
                str(row.number),
                _when(row.moment.at, zone, "%H:%M:%S"),
                "" if row.moment.after_s is None else spoken(row.moment.after_s),
                _who(row.moment),
                row.moment.says,
            )
            for row in whole.axis.rows
        ],
    )
    sheet.heading("Measured, none of it typed")
    sheet.rows(
        ("What", "Measured", "Claimed", "Held"),
        (38, 84, 30, 22),
        [(one.label, one.says, _claimed(one), _held(one)) for one in report.measured],
    )
    sheet.heading("The script")
    sheet.rows(
        ("Step", "What", "Who", "State"),
        (13, 95, 36, 30),
        [
            (str(planned.number), planned.title, ROLES[planned.role], _word(way.state.value))
            for planned, way in zip(plan.steps, report.progress.steps, strict=True)
        ],
    )
    sheet.heading("Journal")
    sheet.rows(
        ("When", "What"), (24, 150), [(_when(one.at, zone, "%H:%M:%S"), one.says) for one in report.journal]
    )
    sheet.ln(2)
    if not report.with_names:
        sheet.words("Roles stand for people in this copy.", colour=SOFT)
    if sheet.has_missing:
        sheet.words(
            f"{MISSING} stands for what this file cannot write; the page in the portal has it.", colour=SOFT
        )
    return bytes(sheet.output())


def _result(sheet: _Sheet, whole: WholeReport, zone: ZoneInfo) -> None:
    held, report = whole.held, whole.report
    plan = report.plan
    sheet.heading(f"Result: {_word(held.result)}")
    for reason in held.reasons:
        sheet.words(f"– {reason}")
    sheet.ln(2)
    sheet.line_of("It was to show", plan.objective)
    sheet.line_of("What happens", report.words)
    sheet.line_of("Held", f"{_when(held.began_at, zone)} to {_when(held.ended_at, zone)}")
    if plan.targets:
        named = ", ".join(one.name for one in plan.targets)
        sheet.line_of("Servers", f"{named} of {plan.pool_size} in service")
    sheet.line_of("Undone by", plan.undo)
    sheet.line_of("Emergency plan", plan.emergency_plan)
    if plan.completeness:
        sheet.line_of("Whether the data is whole", plan.completeness)
    if report.next is not None:
        sheet.line_of("Next drill", f"{report.next.on:%Y-%m-%d}: {report.next.says}")


def _findings(sheet: _Sheet, whole: WholeReport, zone: ZoneInfo) -> None:
    sheet.heading("Findings")
    if not whole.in_force:
        sheet.words("Nobody wrote one down.", colour=SOFT)
    for one in whole.in_force:
        if sheet.will_page_break(16):
            sheet.add_page()
        sheet.words(f"{_word(one.state).capitalize()}: {one.text}", bold=True)
        if one.evidence_says:
            sheet.words(
                f"{_when(one.evidence_at, zone, '%H:%M:%S')} {one.evidence_says}".strip(),
                size=8.5,
                colour=SOFT,
            )
        shown: Any = one
        for action in shown.actions:
            sheet.words(f"→ {action.title} (due {action.due_on:%Y-%m-%d}, {_word(action.state)})", size=9)
        sheet.ln(1.5)
    if whole.still_open:
        sheet.words(f"Action items out of this drill that are still open: {whole.still_open}.")


def _who(moment: figures.Moment) -> str:
    role = ROLES[moment.role] if moment.role else moment.lane.value
    return f"{role}: {moment.by_name}" if moment.by_name else role


def _claimed(figure: figures.Figure) -> str:
    return "nothing" if figure.limit is None else f"at most {figures.said(figure.limit, figure.unit)}"


def _held(figure: figures.Figure) -> str:
    if figure.limit is None:
        return ""
    return {True: "yes", False: "no", None: "not known"}[figure.met]


# --- the picture --------------------------------------------------------------------------------------------


def _picture(sheet: _Sheet, axis: Axis) -> None:
    """Draw the lanes as the page does: numbered moments, the disruption shaded, limits as dashed lines."""
    dots = [dot for lane in axis.lanes for dot in lane.dots]
    if not dots:
        return
    first, last = min(0.0, *(dot.at_s for dot in dots)), max(1.0, *(dot.at_s for dot in dots))
    limits = [lane.limit_s for lane in axis.lanes if lane.limit_s is not None]
    last = max([last, *(one for one in limits if one <= 2 * max(last, 60.0))])
    wide = sheet.epw - 12

    def x(at_s: float) -> float:
        return _LEFT + 6 + (at_s - first) / (last - first) * wide

    heights = [_lane_height(lane, x) for lane in axis.lanes]
    if sheet.will_page_break(sum(heights) + 14):
        sheet.add_page()
    top = sheet.get_y()
    bottom = top + sum(heights)
    if axis.span is not None:
        sheet.set_fill_color(*SHADE)
        sheet.rect(
            x(axis.span[0]), top, max(0.5, x(min(axis.span[1], last)) - x(axis.span[0])), bottom - top, "F"
        )
    at = top
    for lane, height in zip(axis.lanes, heights, strict=True):
        _lane(sheet, lane, at, height, x, last)
        at += height
    sheet.set_font(_FAMILY, "", 7.5)
    sheet.set_text_color(*SOFT)
    for number in range(5):
        tick = first + (last - first) * number / 4
        sheet.set_xy(x(tick) - 12, bottom + 1)
        sheet.cell(24, 4, spoken(tick), align="C")
    sheet.set_xy(_LEFT, bottom + 6)
    sheet.words(f"Times count {axis.zero_label}.", size=7.5, colour=SOFT)
    sheet.ln(2)


_ROOM_MM = 6.5


def _levels(lane: TimedLane, x: Callable[[float], float]) -> list[int]:
    return stacked(
        [x(dot.at_s) for dot in sorted(lane.dots, key=lambda one: (one.at_s, one.number))], _ROOM_MM
    )


def _lane_height(lane: TimedLane, x: Callable[[float], float]) -> float:
    return 10 + 6.5 * max([1, *(level + 1 for level in _levels(lane, x))])


def _lane(
    sheet: _Sheet, lane: TimedLane, top: float, height: float, x: Callable[[float], float], last: float
) -> None:
    base = top + height - 5
    sheet.set_font(_FAMILY, "B", 8.5)
    sheet.set_text_color(*INK)
    sheet.set_xy(_LEFT, top)
    sheet.cell(30, 5, lane.label)
    sheet.set_draw_color(*SOFT)
    sheet.line(_LEFT, base, sheet.w - sheet.r_margin, base)
    if lane.limit_s is not None and lane.limit_s <= last:
        sheet.set_draw_color(*BAD)
        sheet.set_dash_pattern(1.2, 0.8)
        sheet.line(x(lane.limit_s), top + 4.5, x(lane.limit_s), base + 3)
        sheet.set_dash_pattern()
        sheet.set_font(_FAMILY, "", 7)
        sheet.set_text_color(*BAD)
        is_right = x(lane.limit_s) > sheet.w / 2
        sheet.set_xy(x(lane.limit_s) - (42 if is_right else 0), top)
        sheet.cell(42, 4.5, lane.limit_label, align="R" if is_right else "L")
    ordered = sorted(lane.dots, key=lambda one: (one.at_s, one.number))
    for dot, level in zip(ordered, _levels(lane, x), strict=True):
        at, y = x(dot.at_s), base - 6.5 * level
        sheet.set_draw_color(*SOFT)
        if level:
            sheet.line(at, y, at, base)
        sheet.set_draw_color(*_TONES.get(dot.tone, PLAIN))
        sheet.set_fill_color(255, 255, 255)
        sheet.ellipse(at - 2.6, y - 2.6, 5.2, 5.2, "DF")
        sheet.set_font(_FAMILY, "B", 7)
        sheet.set_text_color(*INK)
        sheet.set_xy(at - 4, y - 2)
        sheet.cell(8, 4, str(dot.number), align="C")
