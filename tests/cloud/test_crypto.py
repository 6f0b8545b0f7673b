"""Secrets at rest: newest key first, all keys read, and a plain sentence where none does."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import FieldError, ImproperlyConfigured

from portal import crypto

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def test_a_secret_comes_back_and_never_looks_the_same_twice(settings):
    settings.FIELD_KEYS = [NEW]
    assert crypto.decrypt(crypto.encrypt("sécret")) == "sécret"
    assert crypto.encrypt("x") != crypto.encrypt("x")


def test_a_new_key_in_front_reads_what_the_old_one_wrote_and_rotation_frees_it(settings):
    settings.FIELD_KEYS = [OLD]
    token = crypto.encrypt("secret")
    settings.FIELD_KEYS = [NEW, OLD]
    fresh = crypto.rotate(token)
    settings.FIELD_KEYS = [NEW]
    assert crypto.decrypt(fresh) == "secret"
    with pytest.raises(crypto.Undecryptable) as caught:
        crypto.decrypt(token)
    assert token not in caught.value.says
    with pytest.raises(crypto.Undecryptable):
        crypto.rotate(token)


@pytest.mark.parametrize("keys", [[], [""], ["not a key"], ["c2hvcnQ="]])
def test_a_missing_or_malformed_key_is_said_without_showing_it(settings, keys):
    settings.FIELD_KEYS = keys
    with pytest.raises(ImproperlyConfigured) as caught:
        crypto.encrypt("x")
    assert "FIELD_KEYS" in str(caught.value)
    assert "not a key" not in str(caught.value)


def test_an_encrypted_field_stores_no_plain_text_and_gives_it_back(settings):
    settings.FIELD_KEYS = [NEW]
    field = crypto.EncryptedTextField()
    stored = field.get_prep_value("secret")
    assert "secret" not in stored
    assert field.from_db_value(stored, None, None) == "secret"
    assert field.get_prep_value(None) is None
    assert field.from_db_value(None, None, None) is None


def test_an_encrypted_field_cannot_be_searched(settings):
    field = crypto.EncryptedTextField()
    with pytest.raises(FieldError):
        field.get_lookup("exact")
    assert field.get_lookup("isnull") is not None
