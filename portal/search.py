"""Finding rows by a part of their text: whatever the case or accents, by an index, on any number of rows.

    found = containing(rows, "müller", "name", "number")

What is searched is `portal_search_text(name, number)`, a function of the database (migration
`portal.0003_search`) that folds case and accents. A model that is searched has a trigram index on that very expression:

    GinIndex(OpClass(SearchText("name", "number"), name="gin_trgm_ops"), name="account_search")
"""

from __future__ import annotations

import re
from typing import Any, TypeVar, cast
from uuid import UUID

from django.db.models import Func, Model, Q, QuerySet, TextField, Value

Row = TypeVar("Row", bound=Model)
LONGEST = 100
MOST_WORDS = 6
# A trigram index knows three letters in a row; of shorter words only how a text begins.
SHORTEST_INSIDE = 3
_PHONE = re.compile(r"[+0-9() ./-]+")
_HEX = re.compile(r"[0-9a-f]+")
_UNSOUND = re.compile("[\x00\ud800-\udfff]")


class SearchText(Func):
    """The text by which rows are searched: the fields, a line each, in small letters without accents."""

    function = "portal_search_text"
    output_field = TextField()


def text_of(typed: str) -> str:
    """Return what a person typed into a search box as one line of at most 100 characters."""
    return " ".join(_UNSOUND.sub("", typed).split())[:LONGEST]


def _words(typed: str) -> list[str]:
    text = text_of(typed)
    digits = re.sub(r"\D", "", text)
    # Numbers are kept as +46701234567 and typed as people write them: 070-123 45 67.
    if len(digits) >= 5 and _PHONE.fullmatch(text):
        return [digits.lstrip("0") or digits]
    return text.split()[:MOST_WORDS]


def containing(rows: QuerySet[Row], typed: str, *fields: str, short_inside: bool = True) -> QuerySet[Row]:
    """Return those of `rows` whose `fields` hold every word of `typed`; all of them if it is empty.

    A word of one or two letters is looked for anywhere as well, which no index can do; with
    `short_inside` False it must begin the text instead (the first of `fields`).
    """
    words = _words(typed)
    if not words:
        return rows
    found: Any = rows.alias(_search_text=SearchText(*fields))
    condition = Q()
    for word in words:
        inside = short_inside or len(word) >= SHORTEST_INSIDE
        folded: Any = SearchText(Value(word))
        condition &= Q(**{f"_search_text__{'contains' if inside else 'startswith'}": folded})
    return cast(QuerySet[Row], found.filter(condition))


def beginning_of_reference(typed: str, *, may_be_digits: bool = False) -> tuple[UUID, UUID] | None:
    """Return the first and last reference that begin with `typed` (8 hexadecimal digits or more), or None.

    Digits alone are a number of something else, unless `may_be_digits`: one reference in 43 begins with eight.
    As a range the index of references serves it; a comparison of texts would read every row.
    """
    digits = typed.strip().lower().replace("-", "")
    if not 8 <= len(digits) <= 32 or not _HEX.fullmatch(digits) or _is_number(typed, may_be_digits):
        return None
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))


def _is_number(typed: str, may_be_digits: bool) -> bool:
    return not may_be_digits and typed.strip().isdigit()
