"""People in what is kept for ever: a person's values go in encrypted under a key of that person alone.

    text = named(user)                     # a token; text around it may be kept anywhere
    seal(subject_of(contact), "…")         # the same for one value
    open_values([text, {"phone": token}])  # back in batches, or "erased person 7F3A"

Erasing destroys the key and the live row. What was written stays as it was, so seals, digests and backups' order hold,
and nobody can read it any more. A token is `⟦subject.ciphertext⟧`; AES-256-GCM with the subject as associated data, so a
token moved to somebody else opens to nothing. Data keys lie encrypted under FIELD_KEYS in `audit_subjectkey`.
"""

from __future__ import annotations

import base64
import json
import os
import re
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import models, transaction
from django.db.models import TextField
from django.db.models.functions import Cast
from django.utils.html import escape

from portal.crypto import Undecryptable, decrypt

log = structlog.get_logger(__name__)
Row = TypeVar("Row", bound=models.Model)

# These are looked for inside other texts as well: labels, reasons, sentences of a journal.
_IDENTIFYING = ("name", "email", "phone")
_SHORTEST = 3
_TOKEN = re.compile(r"⟦([0-9a-f]{32})\.([A-Za-z0-9_=-]*)⟧")
_NONCE = 12


@dataclass(frozen=True)
class Subject:
    """A person: the kind of row that stands for them (`contact`, `user`) and its public reference."""

    kind: str
    ref: uuid.UUID


def subject_of(row: Any) -> Subject | None:
    """Return the person that a row stands for; None for what is nobody. A person's model has `personal_fields`."""
    # Not `type(row)`: the user of a session comes wrapped (SimpleLazyObject), which is nobody by its own type.
    if not getattr(row.__class__, "personal_fields", ()):
        return None
    return Subject(row._meta.model_name, row.ref)


def people_of(row: Any) -> list[Any]:
    """Return the people whom a row is or names: itself, and what its model lists in `people`."""
    if row is None:
        return []
    found = [row] if subject_of(row) is not None else []
    named_by = (getattr(row, name, None) for name in getattr(row.__class__, "people", ()))
    return found + [person for person in named_by if subject_of(person) is not None]


def erased_name(ref: uuid.UUID) -> str:
    """Return what stands where an erased person stood."""
    return f"erased person {ref.hex[:4].upper()}"


# --- sealing -----------------------------------------------------------------------------------------------


class Sealer:
    """Seals values of several people with one look for their keys; makes the keys that are missing.

    Must be used in the transaction that keeps what it returns: a key made here falls with it. For `if_known` none is
    made: two transactions that need the same new key wait for each other, which must not happen to a run that halts
    because of everybody who is told of it. Whoever has no key yet is left as they are.
    """

    def __init__(self, people: Iterable[Any], *, if_known: Iterable[Any] = ()) -> None:
        named_here = {subject: row for row in people if (subject := subject_of(row)) is not None}
        others = {subject: row for row in if_known if (subject := subject_of(row)) is not None}
        self._keys = _keys_for_sealing(named_here, others) if named_here or others else {}
        known = {subject: row for subject, row in others.items() if subject in self._keys}
        self._people = {**known, **named_here}
        self._words = _words_of(self._people)

    def narrowed(self, people: Iterable[Any]) -> Sealer:
        """Return a sealer of these people only, with the keys that this one has: no look for them again."""
        made = object.__new__(Sealer)
        made._keys = self._keys
        wanted = {subject: row for row in people if (subject := subject_of(row)) is not None}
        made._people = {subject: row for subject, row in wanted.items() if subject in self._people}
        made._words = _words_of(made._people)
        return made

    def value(self, subject: Subject, value: Any) -> str:
        """Return one value as a token of `subject`, who must be among the people; an empty one for the erased."""
        key = self._keys.get(subject)
        sealed = "" if key is None else _encrypt(key, subject, value)
        return f"⟦{subject.ref.hex}.{sealed}⟧"

    def value_or_plain(self, person: Any, text: str) -> str:
        """Return a text about a person as a token of theirs; the plain text where it is empty or they have no key."""
        subject = subject_of(person)
        return self.value(subject, text) if text and subject in self._people else text

    def name(self, person: Any) -> str:
        """Return a person's name as a token; the plain text of whoever is no subject."""
        subject = subject_of(person)
        return self.value(subject, str(person)) if subject in self._people else str(person)

    def text(self, text: str) -> str:
        """Return a text with each name, mail address and phone number of the people as tokens."""
        for word, subject in self._words:
            if word in text:
                # Only between tokens: what is sealed already is not looked into.
                parts = _TOKEN.split(text)
                rebuilt = [
                    part.replace(word, self.value(subject, word)) if place % 3 == 0 else part
                    for place, part in enumerate(parts)
                ]
                text = "".join(
                    part if place % 3 == 0 else (f"⟦{part}." if place % 3 == 1 else f"{part}⟧")
                    for place, part in enumerate(rebuilt)
                )
        return text

    def fields(self, person: Any, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return `values` of a row: personal fields of it whole, the people's names in everything else."""
        subject = subject_of(person)
        own = (
            frozenset(getattr(person.__class__, "personal_fields", ()))
            if subject is not None
            else frozenset()
        )
        return {
            name: self.value(subject, value)
            if subject is not None and name in own and value not in (None, "", [], {})
            else self._deep(value)
            for name, value in values.items()
        }

    def _deep(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {key: self._deep(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._deep(item) for item in value]
        return value


def _words_of(people: Mapping[Subject, Any]) -> list[tuple[str, Subject]]:
    """Return what is looked for in texts, whose it is, the longest first."""
    return sorted(
        (
            (word, subject)
            for subject, person in people.items()
            for word in {str(person), *(getattr(person, name, "") or "" for name in _IDENTIFYING)}
            if isinstance(word, str) and len(word) >= _SHORTEST
        ),
        key=lambda pair: -len(pair[0]),
    )


def named(person: Any) -> str:
    """Return a person's name as a token, to stand in a text that is kept; "" for nobody."""
    subject = subject_of(person)
    if subject is None:
        return str(person) if person is not None else ""
    return Sealer([person]).value(subject, str(person))


def _encrypt(key: bytes, subject: Subject, value: Any) -> str:
    nonce = os.urandom(_NONCE)
    plain = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    box = AESGCM(key).encrypt(nonce, plain, subject.ref.bytes)
    return base64.urlsafe_b64encode(nonce + box).decode("ascii")


def _keys_for_sealing(subjects: Iterable[Subject], if_known: Iterable[Subject] = ()) -> dict[Subject, bytes]:
    """Return the data keys of `subjects`, new ones made, and those that `if_known` have.

    An erased subject gets none and stays erased.
    """
    from portal.audit.models import Erasure, SubjectKey

    needed = {subject.ref: subject for subject in subjects}
    wanted = {subject.ref: subject for subject in if_known} | needed
    stored = _stored_keys(wanted)
    missing = [ref for ref in needed if ref not in stored]
    if missing:
        erased = set(Erasure.objects.filter(ref__in=missing).values_list("ref", flat=True))
        fresh = [
            SubjectKey(kind=wanted[ref].kind, ref=ref, key=base64.b64encode(os.urandom(32)).decode("ascii"))
            for ref in missing
            if ref not in erased
        ]
        # Whoever was first wins; the other waits for that commit and then reads the key that is there.
        SubjectKey.objects.bulk_create(fresh, ignore_conflicts=True)
        stored |= _stored_keys(row.ref for row in fresh)
    return {wanted[ref]: key for ref, key in stored.items()}


def _stored_keys(refs: Iterable[uuid.UUID]) -> dict[uuid.UUID, bytes]:
    from portal.audit.models import SubjectKey

    rows = SubjectKey.objects.filter(ref__in=list(refs)).annotate(raw=Cast("key", output_field=TextField()))
    return {ref: _unwrapped(raw) for ref, raw in rows.values_list("ref", "raw")}


@lru_cache(maxsize=2000)
def _unwrapped(raw: str) -> bytes:
    # By the stored ciphertext, so that a key that was destroyed or never committed is not found by anybody.
    return base64.b64decode(decrypt(raw))


# --- opening -----------------------------------------------------------------------------------------------


def open_values(values: Sequence[Any]) -> list[Any]:
    """Return `values` (texts, lists, mappings) with every token opened. At most two queries, none without tokens.

    What an erased person's tokens held is "erased person 7F3A". A text that only looks like a token stays as it is.
    """
    refs = {uuid.UUID(ref) for value in values for ref in _refs_in(value)}
    if not refs:
        return list(values)
    keys, erased = _keys_for_opening(refs)
    return [_opened(value, keys, erased) for value in values]


def open_html(html: str) -> str:
    """Return HTML with every token opened and escaped: what a person is called is never markup. At most two queries."""
    refs = {uuid.UUID(ref) for ref in _refs_in(html)}
    if not refs:
        return html
    keys, erased = _keys_for_opening(refs)
    return _TOKEN.sub(lambda found: escape(str(_open_token(found, keys, erased))), html)


def say_instead(text: str, words: Mapping[uuid.UUID, str], otherwise: str) -> str:
    """Return a text in which each token is a word for its person, such as their role; no key is asked for.

    For readers who may know what was done, and not by whom. `otherwise` stands for people whom `words` does not know.
    """
    return _TOKEN.sub(lambda found: words.get(uuid.UUID(found.group(1)), otherwise), text)


def _keys_for_opening(refs: Iterable[uuid.UUID]) -> tuple[dict[uuid.UUID, bytes], frozenset[uuid.UUID]]:
    from portal.audit.models import Erasure

    try:
        keys = _stored_keys(refs)
    except Undecryptable as problem:
        # A lost key of the operator's must not take every page down; the tokens themselves are shown.
        log.warning("subject_keys_unreadable", problem=problem.code)
        keys = {}
    missing = [ref for ref in refs if ref not in keys]
    erased = Erasure.objects.filter(ref__in=missing).values_list("ref", flat=True) if missing else ()
    return keys, frozenset(erased)


def _refs_in(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        if "⟦" in value:
            yield from (found.group(1) for found in _TOKEN.finditer(value))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _refs_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from _refs_in(item)


def _opened(value: Any, keys: Mapping[uuid.UUID, bytes], erased: frozenset[uuid.UUID]) -> Any:
    if isinstance(value, str):
        if "⟦" not in value:
            return value
        whole = _TOKEN.fullmatch(value)
        if whole is not None:
            return _open_token(whole, keys, erased)
        return _TOKEN.sub(lambda found: str(_open_token(found, keys, erased)), value)
    if isinstance(value, Mapping):
        return {key: _opened(item, keys, erased) for key, item in value.items()}
    if isinstance(value, list):
        return [_opened(item, keys, erased) for item in value]
    return value


def _open_token(found: re.Match[str], keys: Mapping[uuid.UUID, bytes], erased: frozenset[uuid.UUID]) -> Any:
    ref = uuid.UUID(found.group(1))
    key = keys.get(ref)
    if key is None:
        return erased_name(ref) if ref in erased else found.group(0)
    try:
        box = base64.urlsafe_b64decode(found.group(2))
        return json.loads(AESGCM(key).decrypt(box[:_NONCE], box[_NONCE:], ref.bytes))
    except (ValueError, InvalidTag):
        return found.group(0)


def open_rows(rows: Sequence[models.Model], fields: Sequence[str]) -> None:
    """Open the tokens in these fields of rows that were read, in place; at most two queries for all of them."""
    values = [row.__dict__.get(name) for row in rows for name in fields]
    if not any(True for value in values for _ in _refs_in(value)):
        return
    opened = iter(open_values(values))
    for row in rows:
        for name in fields:
            value = next(opened)
            if name in row.__dict__:
                row.__dict__[name] = value


class OpenedQuerySet(models.QuerySet[Row]):
    """Rows whose `sealed_fields` are opened as they are read; `sealed()` reads them as they are stored.

    `values()`, `iterator()` and `select_related()` give what is stored.
    """

    _opens = True

    def sealed(self) -> OpenedQuerySet[Row]:
        """Return the same rows with their tokens: for texts that are written on, and for streaming."""
        found = self.all()
        found._opens = False
        return found

    def _clone(self) -> OpenedQuerySet[Row]:
        made = super()._clone()  # type: ignore[misc]
        made._opens = self._opens
        return made

    def _fetch_all(self) -> None:
        is_new = self._result_cache is None
        super()._fetch_all()
        rows = self._result_cache
        if is_new and self._opens and rows and isinstance(rows[0], models.Model):
            open_rows(rows, self.model.sealed_fields)  # type: ignore[attr-defined]


# --- whom a text names -------------------------------------------------------------------------------------

_finders: list[Callable[[Any, str], Iterable[Any]]] = []


def register_people_in(find: Callable[[Any, str], Iterable[Any]]) -> None:
    """Say how the people of an account whom a text names are found."""
    if find not in _finders:
        _finders.append(find)


def named_in(account: Any, text: str) -> list[Any]:
    """Return the people of an account, or of a queryset of accounts, whom a text names; none without an account or a text."""
    return [one for find in _finders for one in find(account, text)] if account is not None and text else []


# --- erasing -----------------------------------------------------------------------------------------------

_erasers: dict[str, list[Callable[[uuid.UUID], None]]] = {}


def register_eraser(kind: str, erase: Callable[[uuid.UUID], None]) -> None:
    """Say how the live rows of one kind of person are emptied or removed; in the erasure's own transaction.

    Called again after a restored backup, so it must be safe for somebody who is gone already.
    """
    known = _erasers.setdefault(kind, [])
    if erase not in known:
        known.append(erase)


@transaction.atomic
def erase_subject(
    subject: Subject, *, by_ref: str = "", at: Any = None, places: Iterable[uuid.UUID] = ()
) -> bool:
    """Destroy a person's key and live values, and put them on the list of erasures; False if they are on it.

    `places` are the accounts that the person had to do with, beside those on whose record they stand.
    A repeat empties the live rows again: that is how a restored backup is brought up to the list.
    """
    from portal.audit.models import Erasure, SubjectKey

    row, is_new = Erasure.objects.get_or_create(
        ref=subject.ref, defaults={"kind": subject.kind, "by_ref": by_ref, **({"at": at} if at else {})}
    )
    # Before the key goes: nobody can read afterwards what the person was called.
    forget_answers_naming(subject.ref, *_ever_called(subject.ref), places=places)
    SubjectKey.objects.filter(ref=subject.ref).delete()
    for erase in _erasers.get(subject.kind, ()):
        erase(subject.ref)
    _forget_answers(subject.ref, places)
    transaction.on_commit(lambda: log.info("subject_erased", kind=row.kind, ref=str(row.ref)))
    return is_new


def _forget_answers(ref: uuid.UUID, places: Iterable[uuid.UUID]) -> None:
    # Answers of the API are kept for a day for repeats, and hold what they showed.
    from portal.models import IdempotentAnswer

    # The request at hand has no answer yet, and one without a body says nothing of anybody: both can be repeated.
    IdempotentAnswer.objects.filter(status__isnull=False, actor=str(ref)).delete()
    told = _told().filter(models.Q(text__contains=str(ref)) | models.Q(path__contains=str(ref)))
    own = _places_of(ref, places)
    # Whoever stands on no account's record is nobody's neighbour: an answer that is gone says nothing of an account then.
    _empty([one.pk for one in told if _speaks_of(one, str(ref)) and (not own or _is_of(one, own))])


def forget_answers_naming(ref: uuid.UUID, *words: str, places: Iterable[uuid.UUID] = ()) -> None:
    """Empty kept answers in which somebody stands by name or address alone: who confirmed, granted, invited, approved.

    Only those about accounts that the person had to do with, `places` and those of their record: somebody elsewhere
    may have typed the same, and would learn from an answer that is gone that another account's person was erased.
    """
    named = {word for word in words if len(word) >= _SHORTEST}
    if not named:
        return
    own = _places_of(ref, places)
    says_one = models.Q()
    for word in sorted(named):
        says_one |= models.Q(text__contains=json.dumps(word, ensure_ascii=False)[1:-1])
    told = _told().filter(says_one)
    _empty([one.pk for one in told if any(_speaks_of(one, word) for word in named) and _is_of(one, own)])


def _ever_called(ref: uuid.UUID) -> set[str]:
    """Return the names, addresses and numbers that a person had by the record, while their key can still be read."""
    from portal.audit.models import AuditEntry

    kept = AuditEntry.objects.filter(subject_ref=str(ref)).only("before", "after")
    said = {
        entry_says.get(name)
        for one in kept
        for entry_says in (one.before, one.after)
        for name in _IDENTIFYING
    }
    return {value for value in said if isinstance(value, str) and "⟦" not in value} - {erased_name(ref)}


def _places_of(ref: uuid.UUID, places: Iterable[uuid.UUID]) -> frozenset[uuid.UUID]:
    from portal.audit.models import AuditEntry

    known = AuditEntry.objects.filter(models.Q(subject_ref=str(ref)) | models.Q(actor_ref=str(ref)))
    of_record = set(known.order_by().values_list("account_ref", flat=True).distinct())
    return frozenset(place for place in {*places, *of_record} if place is not None)


def _told() -> models.QuerySet[Any, Any]:
    """Return the kept answers that say something, each with its `text`."""
    from portal.models import IdempotentAnswer

    rows = IdempotentAnswer.objects.annotate(text=Cast("body", output_field=TextField()))
    return rows.filter(status__isnull=False).exclude(body__isnull=True).exclude(body=None)


def _speaks_of(answer: Any, word: str) -> bool:
    return word in answer.path or _says(answer.body, word)


def _says(value: Any, word: str) -> bool:
    """Whether a value of an answer is `word`, or holds it among others if it is more than a word; names of fields are not looked at."""
    if isinstance(value, str):
        return value == word or (word in value and any(char in word for char in " @-+"))
    if isinstance(value, Mapping):
        return any(_says(item, word) for item in value.values())
    return isinstance(value, list) and any(_says(item, word) for item in value)


def _is_of(answer: Any, places: Collection[uuid.UUID]) -> bool:
    """Whether a kept answer was asked for below one of these accounts, or by somebody who sees one of them."""
    from portal.access import Permission, visible_to

    # Of what the answer says nothing is believed: whoever was answered may have typed it.
    if any(re.match(rf"/api/v1/accounts/{place}(?:/|$)", answer.path) for place in places):
        return True
    account = apps.get_model("accounts", "Account").objects.filter(ref__in=places)
    token = apps.get_model("accounts", "ApiToken").objects.filter(ref=answer.actor, account__in=account)
    user = get_user_model().objects.filter(ref=answer.actor).first()
    if user is None:
        return token.exists()
    return visible_to(user, account, Permission.ACCOUNT_VIEW).exists()


def _empty(answers: Sequence[int]) -> None:
    """Keep that they were given, and nothing of them: a repeat must not do once more what was done for the erased."""
    from portal.models import IdempotentAnswer

    IdempotentAnswer.objects.filter(pk__in=answers).update(
        status=IdempotentAnswer.GONE, body=None, headers={}, body_digest=""
    )
