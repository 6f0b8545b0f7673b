"""Small drawn shapes and icons as inline SVG. They decorate a word that stands beside them."""

from __future__ import annotations

# 12 by 12; `f` is filled, `s` is stroked.
SHAPES: dict[str, str] = {
    "ring": '<circle class="s" cx="6" cy="6" r="4.25"/>',
    "dot": '<circle class="f" cx="6" cy="6" r="5"/>',
    "half": '<circle class="s" cx="6" cy="6" r="4.25"/><path class="f" d="M6 1.75a4.25 4.25 0 0 1 0 8.5z"/>',
    "play": '<path class="f" d="M2.5 1.2 11 6l-8.5 4.8z"/>',
    "pause": '<path class="f" d="M2 1.5h3v9H2zM7 1.5h3v9H7z"/>',
    "check": '<path class="s" d="M1.8 6.4 4.8 9.4 10.4 2.8"/>',
    "cross": '<path class="s" d="m2.2 2.2 7.6 7.6m0-7.6L2.2 9.8"/>',
    "minus": '<path class="s" d="M1.8 6h8.4"/>',
    "diamond": '<path class="f" d="M6 .6 11.4 6 6 11.4.6 6z"/>',
    "octagon": '<path class="f" d="M3.8.8h4.4l3 3v4.4l-3 3H3.8l-3-3V3.8z"/>',
    "triangle": '<path class="f" d="M6 .9 11.7 11H.3z"/>',
    "clock": '<circle class="s" cx="6" cy="6" r="4.6"/><path class="s" d="M6 3.4V6l1.8 1.4"/>',
    "down": '<path class="s" d="M6 1v9M2.4 6.6 6 10.2l3.6-3.6"/>',
    "up": '<path class="s" d="M6 11V2M2.4 5.4 6 1.8l3.6 3.6"/>',
    "back": '<path class="s" d="M4 1.8 1.4 4.4 4 7M1.6 4.4h6a2.9 2.9 0 0 1 0 5.8H4.4"/>',
}
# 16 by 16, stroked.
ICONS: dict[str, str] = {
    "search": '<circle cx="7" cy="7" r="4.5"/><path d="m10.5 10.5 3.5 3.5"/>',
    "theme": '<circle cx="8" cy="8" r="5.5"/><path class="f" d="M8 2.5a5.5 5.5 0 0 1 0 11z"/>',
    "user": '<circle cx="8" cy="5.5" r="2.75"/><path d="M2.75 13.75c.6-2.6 2.6-4 5.25-4s4.65 1.4 5.25 4"/>',
    "bell": '<path d="M4 11V7a4 4 0 0 1 8 0v4l1.25 1.25H2.75zM6.5 14h3"/>',
    "copy": '<rect x="5.5" y="5.5" width="8" height="8"/><path d="M10.5 5.5v-3h-8v8h3"/>',
    "close": '<path d="m3.5 3.5 9 9m0-9-9 9"/>',
    "chevron": '<path d="m4 6 4 4 4-4"/>',
    "next": '<path d="m6 3.5 4.5 4.5L6 12.5"/>',
    "previous": '<path d="M10 3.5 5.5 8l4.5 4.5"/>',
    "download": '<path d="M8 2.5v7.5M4.75 7 8 10.25 11.25 7M2.5 13.5h11"/>',
    "keyboard": '<rect x="1.5" y="4" width="13" height="8.5"/><path d="M4 7h.01M6.7 7h.01M9.3 7h.01M12 7h.01M5 10h6"/>',
    "logout": '<path d="M9.5 2.5h-6v11h6M6.5 8h7.5M11.5 5.5 14 8l-2.5 2.5"/>',
}


def shape_svg(name: str) -> str:
    """Return the 12 px shape of a state. Raises KeyError for a shape that does not exist."""
    return f'<svg class="shape" viewBox="0 0 12 12" width="12" height="12" aria-hidden="true" focusable="false">{SHAPES[name]}</svg>'


def icon_svg(name: str) -> str:
    """Return a 16 px icon. Raises KeyError for an icon that does not exist."""
    return f'<svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">{ICONS[name]}</svg>'
