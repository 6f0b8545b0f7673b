"""The design system's template tags. `docs/design.md` shows each with an example.

Tags show, they do not decide: they take ready values. Everything that came from people is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import template
from django.forms import (
    BaseForm,
    BoundField,
    CheckboxInput,
    CheckboxSelectMultiple,
    RadioSelect,
)
from django.forms.widgets import MultiWidget
from django.template.context import Context
from django.template.defaultfilters import linebreaksbr
from django.template.loader import render_to_string
from django.utils.html import conditional_escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from portal.ui import charts, icons, nav
from portal.ui.states import look_of

register = template.Library()


def _safe(markup: str) -> SafeString:
    """Mark markup that our own code made (and escaped) as safe."""
    return mark_safe(markup)  # noqa: S308


# Words and values -------------------------------------------------------------


@register.simple_tag(takes_context=True)
def state(context: Context, value: Any, plain: bool | None = None, css: str = "") -> SafeString:
    """Show a state as shape and word. `plain` picks the customers' words; None asks the context's `plain_words`."""
    key = str(getattr(value, "value", value))
    look = look_of(key)
    use_plain = bool(context.get("plain_words")) if plain is None else plain
    provider = "provider " if key.isupper() and not use_plain else ""
    return format_html(
        '<span class="state {}tone-{} {}" data-state="{}">{}<span>{}</span></span>',
        provider,
        look.tone,
        css,
        key,
        _safe(icons.shape_svg(look.shape)),
        look.plain if use_plain else look.word,
    )


@register.simple_tag
def state_word(value: Any, plain: bool = False) -> str:
    """Return only the word of a state, for sentences."""
    look = look_of(str(getattr(value, "value", value)))
    return look.plain if plain else look.word


@register.simple_tag
def icon(name: str) -> SafeString:
    """Show an icon of `portal.ui.icons.ICONS`; it decorates a word or a labelled button."""
    return _safe(icons.icon_svg(name))


@register.simple_tag
def shape(name: str) -> SafeString:
    """Show a state's shape of `portal.ui.icons.SHAPES` alone."""
    return _safe(icons.shape_svg(name))


@register.simple_tag
def when(at: datetime | None, style: str = "relative", none: str = "not yet") -> SafeString:
    """Show a moment. The server writes it in full as UTC; a script turns it into *3 min ago* with the exact one on hover.

    `style`: `relative`, or `clock` for the time of day (journals; the date stands in the hover text).
    """
    if at is None:
        return format_html('<span class="unknown">{}</span>', none)
    if at.tzinfo is None:
        raise ValueError("times on pages are aware; this one has no time zone")
    utc = at.astimezone(UTC)
    text = f"{utc:%H:%M:%S}" if style == "clock" else f"{utc:%Y-%m-%d %H:%M:%S} UTC"
    return format_html(
        '<time datetime="{}" data-when="{}">{}</time>',
        utc.isoformat(timespec="seconds"),
        style,
        text,
    )


@register.simple_tag
def when_there(at: datetime, zone: str) -> SafeString:
    """Show a moment in the zone of whoever the page is for and has no log-in, as the mails to them do. No script changes it."""
    local = at.astimezone(ZoneInfo(zone))
    return format_html(
        '<time datetime="{}">{}</time>',
        at.astimezone(UTC).isoformat(timespec="seconds"),
        f"{local:%Y-%m-%d %H:%M %Z}",
    )


@register.simple_tag(takes_context=True)
def day_for_reader(context: Context, at: datetime) -> str:
    """Return the day of a moment where its reader is, 2026-11-30: for titles and links, which no script changes."""
    return f"{at.astimezone(_zone_of(context)):%Y-%m-%d}"


def _zone_of(context: Context) -> ZoneInfo:
    user = getattr(context.get("request"), "user", None)
    return ZoneInfo(getattr(user, "time_zone", "") or "UTC")


_SHORT_STRETCH = timedelta(days=4)
"""A stretch shorter than this may share its days with another one: its times of day are told, too."""


@register.simple_tag(takes_context=True)
def moment_for_reader(context: Context, at: datetime) -> str:
    """Return a moment with its time of day where its reader is, which `when` shows on hover only: 12 May 2026, 08:00."""
    local = at.astimezone(_zone_of(context))
    return f"{local.day} {local:%b %Y, %H:%M}"


@register.simple_tag(takes_context=True)
def stretch_for_reader(context: Context, begins: datetime, ends: datetime) -> str:
    """Return a stretch where its reader is: 12 May 2026, 08:00 to 12:00; days alone where it lasts for several."""
    zone = _zone_of(context)
    first, last = begins.astimezone(zone), ends.astimezone(zone)
    if ends - begins >= _SHORT_STRETCH:
        return f"{first.day} {first:%b %Y} to {last.day} {last:%b %Y}"
    until = f"{last:%H:%M}" if first.date() == last.date() else f"{last.day} {last:%b %Y, %H:%M}"
    return f"{first.day} {first:%b %Y, %H:%M} to {until}"


@register.filter
def there(local: datetime) -> str:
    """Return weekday and time of day of a moment in its own zone. Django's `date` would turn it into the reader's."""
    return f"{local:%a %H:%M}"


@register.filter
def day_there(local: datetime) -> str:
    """Return weekday, day and time of a moment in its own zone: Mon 2026-11-30 09:00."""
    return f"{local:%a %Y-%m-%d %H:%M}"


@register.filter
def duration(seconds: float | timedelta | None) -> str:
    """Return a length of time in words: 45 s, 12 min, 2 h 05 min, 3 d 4 h. None is "unknown"."""
    if seconds is None:
        return "unknown"
    total = round(seconds.total_seconds() if isinstance(seconds, timedelta) else float(seconds))
    sign, total = ("−", -total) if total < 0 else ("", total)
    if total < 120:
        return f"{sign}{total} s"
    if total < 3600:
        minutes, rest = divmod(total, 60)
        return f"{sign}{minutes} min {rest:02d} s" if rest and minutes < 10 else f"{sign}{minutes} min"
    if total < 86400:
        hours, rest = divmod(total, 3600)
        return f"{sign}{hours} h {rest // 60:02d} min"
    days, rest = divmod(total, 86400)
    return f"{sign}{days} d {rest // 3600} h"


@register.filter
def number(value: float | None, digits: int = 1) -> str:
    """Return a number with thin spaces between thousands; None is "unknown"."""
    return charts.number(None if value is None else float(value), int(digits))


@register.filter
def rate(value: float | None, digits: int = 1) -> str:
    """Return a rate as `number` does, one of next to nothing with the digits that tell it from none: 0.001."""
    text = number(value, digits)
    return f"{value:.3g}" if value and text == "0" else text


@register.filter
def ms(value: float | None) -> str:
    """Return milliseconds as `number` does, those below one with the two digits that count: 0.25 ms. None is "unknown"."""
    is_small = value is not None and 0 < abs(value) < 1
    return "unknown" if value is None else f"{f'{value:.2g}' if is_small else number(value)} ms"


@register.filter
def share(value: float | None, digits: int = 0) -> str:
    """Return a share of 0 to 1 as a percentage; None is "unknown"."""
    return "unknown" if value is None else f"{charts.number(float(value) * 100, int(digits))} %"


@register.filter
def known(value: Any, words: str = "unknown") -> Any:
    """Show a value, or `words` where it is None. Zero stays zero."""
    return format_html('<span class="unknown">{}</span>', words) if value is None else value


@register.simple_tag
def ref(value: str, label: str = "") -> SafeString:
    """Show an identifier in the fixed-width face with a button that copies it; `label` is a shorter text to show."""
    return format_html(
        '<span class="ref"><span>{}</span><button type="button" class="copy" data-copy="{}" aria-label="Copy {}">{}</button></span>',
        label or value,
        value,
        value,
        _safe(icons.icon_svg("copy")),
    )


# Page furniture ----------------------------------------------------------------


@register.simple_tag(takes_context=True)
def nav_items(context: Context) -> list[nav.NavItem]:
    """Return the entries of the main navigation for the user of this request; none before log-in."""
    user = getattr(context.get("request"), "user", None)
    return nav.items_for(user) if user is not None and user.is_authenticated else []


@register.simple_tag
def crumbs(*parts: str) -> SafeString:
    """Show breadcrumbs from pairs of label and address; a last label without address is the page itself.

    {% crumbs "Accounts" accounts_url account.name account_url "Scale-down" %}
    """
    pairs = [
        (parts[index], parts[index + 1] if index + 1 < len(parts) else "")
        for index in range(0, len(parts), 2)
    ]
    items = [
        format_html('<li><a href="{}">{}</a></li>', url, label)
        if url
        else format_html("<li><span>{}</span></li>", label)
        for label, url in pairs
    ]
    return format_html(
        '<nav aria-label="Breadcrumb"><ol class="crumbs">{}</ol></nav>',
        _safe("".join(items)),
    )


@register.simple_block_tag
def page_header(
    content: str,
    title: str,
    lede: str = "",
    breadcrumbs: str = "",
    badge: str = "",
) -> SafeString:
    """Show the head of a page: breadcrumbs, title with a state beside it, a sentence; its content are the actions."""
    return format_html(
        '<header class="page-head"><div class="page-head-text">{}<h1>{}{}</h1>{}</div>{}</header>',
        breadcrumbs,
        title,
        format_html(" {}", badge) if badge else "",
        format_html('<p class="lede">{}</p>', lede) if lede else "",
        format_html('<div class="actions">{}</div>', content) if content.strip() else "",
    )


TONE_SHAPES = {
    "good": "check",
    "move": "play",
    "wait": "triangle",
    "bad": "octagon",
    "idle": "ring",
}
TONE_WORDS = {
    "good": "Done",
    "move": "In progress",
    "wait": "Note",
    "bad": "Problem",
    "idle": "Note",
}


@register.simple_block_tag
def alert(content: str, tone: str = "idle", title: str = "", live: bool = False) -> SafeString:
    """Show a message of a tone (good, move, wait, bad, idle). `live` announces it to screen readers when it appears."""
    return format_html(
        '<div class="alert tone-{}"{}>{}<div class="alert-body">{}{}</div></div>',
        tone,
        _safe(' role="alert"' if live and tone == "bad" else ' role="status"' if live else ""),
        _safe(icons.shape_svg(TONE_SHAPES[tone])),
        format_html("<strong>{}</strong>", title)
        if title
        else format_html('<span class="visually-hidden">{}: </span>', TONE_WORDS[tone]),
        content,
    )


@register.filter
def message_tone(level_tag: str) -> str:
    """Return the tone of a django message's level."""
    return {"success": "good", "error": "bad", "warning": "wait", "debug": "idle"}.get(level_tag, "move")


@register.simple_block_tag
def empty(content: str, title: str, level: int = 3) -> SafeString:
    """Show what stands where a list would: what is missing, and (its content) what to do about it."""
    return format_html('<div class="empty"><h{0}>{1}</h{0}>{2}</div>', level, title, content)


@register.simple_tag
def figure(
    label: str,
    value: Any,
    unit: str = "",
    source: str = "",
    observed_at: datetime | None = None,
    digits: int = 1,
) -> SafeString:
    """Show one big number with its unit, its source and its age. None is shown as *unknown*, never as 0."""
    if value is None:
        shown = _safe('<div class="figure-value unknown">unknown</div>')
    else:
        text = value if isinstance(value, str) else charts.number(float(value), digits)
        shown = format_html(
            '<div class="figure-value">{}{}</div>',
            text,
            format_html(" <small>{}</small>", unit) if unit else "",
        )
    notes = [conditional_escape(source)] if source else []
    if observed_at is not None:
        notes.append(when(observed_at))
    return format_html(
        '<div class="figure"><div class="figure-label">{}</div>{}{}</div>',
        label,
        shown,
        format_html('<div class="figure-note">{}</div>', _safe(" · ".join(notes))) if notes else "",
    )


# Forms -------------------------------------------------------------------------


def _field_note(bound: BoundField) -> SafeString:
    return _safe(' <span class="optional">optional</span>' if not bound.field.required else "")


@register.simple_tag
def field(bound: BoundField, label: str = "", help: str = "", unit: str = "") -> SafeString:
    """Show a form's field: label, help, errors (both tied to the input by aria-describedby), the input as typed."""
    if bound.is_hidden:
        return _safe(str(bound))
    identifier = bound.auto_id or bound.html_name
    help_text = str(help or bound.help_text)
    grouped = isinstance(bound.field.widget, RadioSelect | CheckboxSelectMultiple | MultiWidget)
    described = [f"{identifier}_help"] if help_text else []
    described += [f"{identifier}_error"] if bound.errors else []
    attrs: dict[str, Any] = {}
    if described:
        attrs["aria-describedby"] = " ".join(described)
    if bound.errors:
        attrs["aria-invalid"] = "true"
    name = label or bound.label
    parts: list[str] = []
    if isinstance(bound.field.widget, CheckboxInput):
        parts.append(
            format_html(
                '<label class="field-check">{}<span>{}</span></label>', bound.as_widget(attrs=attrs), name
            )
        )
        parts.append(_help_and_errors(bound, identifier, help_text))
    else:
        if grouped:
            parts.append(format_html('<legend class="field-head">{}{}</legend>', name, _field_note(bound)))
        else:
            parts.append(
                format_html(
                    '<label for="{}">{}{}</label>',
                    bound.id_for_label or identifier,
                    name,
                    _field_note(bound),
                )
            )
        parts.append(_help_and_errors(bound, identifier, help_text))
        widget = bound.as_widget(attrs={} if grouped else attrs)
        if grouped:
            widget = format_html('<div class="choices">{}</div>', widget)
        elif unit:
            widget = format_html(
                '<div class="field-unit">{}<span class="soft">{}</span></div>',
                widget,
                unit,
            )
        parts.append(widget)
    css = "field has-error" if bound.errors else "field"
    body = _safe("".join(str(part) for part in parts))
    if grouped:
        role = format_html(' aria-describedby="{}"', " ".join(described)) if described else ""
        return format_html('<fieldset class="{}"{}>{}</fieldset>', css, role, body)
    return format_html('<div class="{}">{}</div>', css, body)


def _help_and_errors(bound: BoundField, identifier: str, help_text: str) -> SafeString:
    parts = ""
    if help_text:
        parts += format_html('<p class="field-help" id="{}_help">{}</p>', identifier, help_text)
    if bound.errors:
        parts += format_html(
            '<p class="field-error" id="{}_error">{}<span>{}</span></p>',
            identifier,
            _safe(icons.shape_svg("octagon")),
            " ".join(str(error) for error in bound.errors),
        )
    return _safe(parts)


@register.simple_tag
def form_errors(form: BaseForm, focus: bool = True) -> SafeString:
    """Show what is wrong with a form, each line a link to its field; nothing where nothing is wrong.

    `focus` moves the keyboard there when the page opens, so that nobody misses it.
    """
    if not form.errors:
        return _safe("")
    lines = [format_html("<li>{}</li>", error) for error in form.non_field_errors()]
    for bound in form:
        lines += [
            format_html(
                '<li><a href="#{}">{}</a>: {}</li>',
                bound.auto_id or bound.html_name,
                bound.label,
                error,
            )
            for error in bound.errors
        ]
    title = (
        "One thing needs your attention" if len(lines) == 1 else f"{len(lines)} things need your attention"
    )
    return format_html(
        '<div class="alert tone-bad" role="alert" tabindex="-1"{}>{}'
        '<div class="alert-body"><strong>{}</strong><ul class="list-plain">{}</ul></div></div>',
        _safe(" data-autofocus" if focus else ""),
        _safe(icons.shape_svg("octagon")),
        title,
        _safe("".join(lines)),
    )


def _pattern_of(text: str) -> str:
    """Return an HTML pattern that matches exactly `text`. Only syntax characters may be escaped there (flag v)."""
    return re.sub(r"([\^$\\.*+?()\[\]{}|/])", r"\\\1", text)


@register.inclusion_tag("components/command.html", takes_context=True)
def command(
    context: Context,
    url: str,
    label: str,
    *,
    tone: str = "",
    reason: str = "no",
    leaves: str = "",
    refused: str = "",
    dialog: str = "",
    confirm_url: str = "",
    small: bool = False,
    **hidden: Any,
) -> dict[str, Any]:
    """Show a button that changes something: a POST form with its own token. The label names the act and its size.

    `tone`: primary, danger or quiet. `reason`: no, optional or required (posted as `reason`). `leaves` says what the
    click will leave; `refused` is the sentence why it cannot be done now (the button is then shown, but off).
    `dialog` and `confirm_url`: instead of posting, open the dialog of that id; without JavaScript go to the page that
    asks. Other keywords are posted along.
    """
    return {
        "csrf_token": context.get("csrf_token"),
        "url": url,
        "label": label,
        "tone": tone,
        "reason": reason,
        "leaves": leaves,
        "refused": refused,
        "dialog": dialog,
        "confirm_url": confirm_url,
        "small": small,
        "hidden": hidden.items(),
        "reason_id": f"reason-{re.sub(r'[^a-zA-Z0-9]+', '-', f'{url}-{label}').strip('-').lower()}",
    }


def _confirm_context(context: Context, **values: Any) -> dict[str, Any]:
    type_name = values.get("type_name") or ""
    return {
        "csrf_token": context.get("csrf_token"),
        "pattern": _pattern_of(type_name),
        **values,
    }


@register.simple_block_tag(takes_context=True)
def confirm_dialog(
    context: Context,
    content: str,
    *,
    id: str,
    title: str,
    action: str,
    button: str,
    tone: str = "danger",
    type_name: str = "",
    reason: str = "no",
    **hidden: Any,
) -> SafeString:
    """Show a dialog that asks before a command is posted; its content says what will happen and what it leaves.

    With `type_name` that name must be typed (posted as `typed_name`; the view checks it again).
    """
    return render_to_string(
        "components/confirm_dialog.html",
        _confirm_context(
            context,
            id=id,
            title=title,
            action=action,
            button=button,
            tone=tone,
            type_name=type_name,
            reason=reason,
            hidden=hidden.items(),
            content=content,
        ),
    )


@register.simple_block_tag(takes_context=True)
def confirm_form(
    context: Context,
    content: str,
    *,
    action: str,
    button: str,
    back_url: str,
    tone: str = "danger",
    type_name: str = "",
    reason: str = "no",
    reason_typed: str = "",
    **hidden: Any,
) -> SafeString:
    """Show the same question as `confirm_dialog` on a page of its own, also for browsers without JavaScript."""
    return render_to_string(
        "components/confirm_form.html",
        _confirm_context(
            context,
            id="confirm",
            action=action,
            button=button,
            back_url=back_url,
            tone=tone,
            type_name=type_name,
            reason=reason,
            reason_typed=reason_typed,
            hidden=hidden.items(),
            content=content,
        ),
    )


@register.inclusion_tag("components/stepper.html")
def stepper(steps: Sequence[Mapping[str, str]], current: str) -> dict[str, Any]:
    """Show where one is on a guided path. Each step has `key`, `label` and, once reachable, `url`."""
    keys = [step["key"] for step in steps]
    position = keys.index(current)
    shown = [
        {
            "label": step["label"],
            "url": step.get("url", ""),
            "number": index + 1,
            "done": index < position,
            "current": index == position,
        }
        for index, step in enumerate(steps)
    ]
    return {"steps": shown, "count": len(shown)}


@register.inclusion_tag("components/tabs.html")
def tabs(items: Sequence[Mapping[str, Any]], current: str, label: str = "Sections") -> dict[str, Any]:
    """Show pages of one thing side by side. Each item has `key`, `label`, `url` and, if wanted, `count`.

    One with `items` of its own is a group: they are a second row while one of them is the current one.
    """
    group = next((one for one in items if current in {sub["key"] for sub in one.get("items", ())}), None)
    return {"items": items, "current": current, "label": label, "group": group}


@register.inclusion_tag("components/pagination.html", takes_context=True)
def pagination(context: Context, page: Any, label: str = "Pages") -> dict[str, Any]:
    """Show previous and next of a keyset page: `page.previous_url` and `page.next_url` (empty or None at the ends)."""
    return {"page": page, "label": label}


@register.simple_tag(takes_context=True)
def sort_header(context: Context, label: str, field: str, order: str, css: str = "") -> SafeString:
    """Show the head of a column by which the list can be ordered: a link, and `aria-sort` on the one in force.

    The link keeps the filters of the address and drops the place in the list.
    """
    kept = context["request"].GET.copy()
    kept.pop("cursor", None)
    downwards = order == f"-{field}"
    is_in_force = downwards or order == field
    kept["order"] = f"-{field}" if order == field else field
    sort = ("descending" if downwards else "ascending") if is_in_force else "none"
    return format_html(
        '<th scope="col" class="{}" aria-sort="{}"><a class="sort" href="?{}">{}{}</a></th>',
        css,
        sort,
        kept.urlencode(),
        label,
        _safe(f'<span aria-hidden="true">{"↓" if downwards else "↑"}</span>') if is_in_force else "",
    )


@register.inclusion_tag("components/journal.html", takes_context=True)
def journal(
    context: Context,
    entries: Sequence[Any],
    id: str = "journal",
    label: str = "Journal",
) -> dict[str, Any]:
    """Show entries newest first as given: each has `at`, `text`, and may have `subject`, `who`, `tone`, `seq`."""
    return {"entries": entries, "id": id, "label": label}


@register.inclusion_tag("components/lane.html", takes_context=True)
def lane(context: Context, row: Any) -> dict[str, Any]:
    """Show one server's way; `row` is a `portal.ui.lanes.Lane`, see `docs/design.md`."""
    return {
        "row": row,
        "csrf_token": context.get("csrf_token"),
        "plain_words": context.get("plain_words"),
        "request": context.get("request"),
    }


# Charts ------------------------------------------------------------------------


@register.simple_tag
def sparkline(
    points: Sequence[charts.Point],
    title: str,
    unit: str = "connections",
    **options: Any,
) -> SafeString:
    """See `portal.ui.charts.sparkline`."""
    return _safe(charts.sparkline(points, title=title, unit=unit, **options))


@register.simple_tag
def connections_chart(series: Sequence[charts.Series], title: str, **options: Any) -> SafeString:
    """See `portal.ui.charts.connections_chart`; with more than one series a legend follows."""
    svg = charts.connections_chart(series, title=title, **options)
    if len(series) < 2:
        return _safe(svg)
    entries = format_html_join("", '<li class="tone-{}">{}</li>', ((one.tone, one.label) for one in series))
    return _safe(f'{svg}<ul class="legend">{entries}</ul>')


@register.inclusion_tag("components/zoom_chart.html")
def zoom_chart(
    series: Sequence[charts.Series], title: str, unit: str = "connections", **options: Any
) -> dict[str, Any]:
    """Show `connections_chart` with a table of its values; a script offers to zoom into it.

    The page loads `components/plot_scripts.html` in its `scripts` block and the style in `head`.
    """
    rows, total = charts.table_of(series)
    return {
        "chart": connections_chart(series, title=title, unit=unit, **options),
        "title": title,
        "series": series,
        "rows": rows,
        "total": total,
        "data": charts.zoom_data(series, title=title, unit=unit, limit=options.get("limit")),
        "has_values": any(value is not None for row in rows for value in row.values),
    }


@register.simple_tag
def load_bars(
    nodes: Sequence[charts.NodeLoad], title: str, ceiling: float | None, **options: Any
) -> SafeString:
    """See `portal.ui.charts.load_bars`."""
    return _safe(charts.load_bars(nodes, title=title, ceiling=ceiling, **options))


@register.simple_tag
def curve_chart(
    curve: Sequence[charts.CurvePoint], dots: Sequence[charts.Dot], title: str, **options: Any
) -> SafeString:
    """See `portal.ui.charts.curve_chart`."""
    return _safe(charts.curve_chart(curve, dots, title=title, **options))


@register.simple_tag
def paired_bars(pairs: Sequence[charts.Pair], title: str, **options: Any) -> SafeString:
    """See `portal.ui.charts.paired_bars`; a legend follows."""
    svg = charts.paired_bars(pairs, title=title, **options)
    entries = format_html_join(
        "", '<li class="tone-{}">{}</li>', (("1", options["first_label"]), ("2", options["second_label"]))
    )
    return _safe(f'{svg}<ul class="legend">{entries}</ul>')


@register.simple_tag
def lanes_chart(lanes: Sequence[charts.TimedLane], title: str, **options: Any) -> SafeString:
    """See `portal.ui.charts.lanes_chart`; a table beside says what the numbers are."""
    return _safe(charts.lanes_chart(lanes, title=title, **options))


@register.simple_tag
def phase_track(phases: Sequence[charts.PhaseStep], title: str) -> SafeString:
    """See `portal.ui.charts.phase_track`."""
    return _safe(charts.phase_track(phases, title=title))


@register.filter
def paragraphs(text: str) -> SafeString:
    """Show typed text with its line breaks, escaped."""
    return linebreaksbr(text)
