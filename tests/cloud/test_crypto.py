"""Secrets at rest: newest key first, all keys read, and a plain sentence where none does."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet
from django import db
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import CommandError

from portal import crypto
from tests import factories

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


@pytest.mark.django_db
def test_the_rotation_command_moves_every_stored_secret_to_the_newest_key(settings, capsys):
    settings.FIELD_KEYS = [OLD]
    connection = factories.connection(factories.account(), api_key="the key")
    settings.FIELD_KEYS = [NEW, OLD]
    call_command("rotate_field_keys")
    assert "accounts.CloudConnection.api_key: 1 encrypted" in capsys.readouterr().out
    settings.FIELD_KEYS = [NEW]
    connection.refresh_from_db()
    assert connection.api_key == "the key"


@pytest.mark.django_db
def test_the_rotation_command_stops_at_a_secret_that_no_key_reads(settings):
    settings.FIELD_KEYS = [OLD]
    factories.connection(factories.account(), api_key="the key")
    settings.FIELD_KEYS = [NEW]
    with pytest.raises(CommandError) as caught:
        call_command("rotate_field_keys")
    assert "accounts.CloudConnection.api_key" in str(caught.value)


@pytest.mark.django_db
def test_the_database_holds_no_plain_secret():
    connection = factories.connection(factories.account(), api_key="plain-secret-text")
    with db.connection.cursor() as cursor:
        cursor.execute("SELECT api_key FROM accounts_cloudconnection WHERE id = %s", [connection.pk])
        (stored,) = cursor.fetchone()
    assert "plain-secret-text" not in stored
