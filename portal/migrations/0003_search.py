"""What lists are searched by: trigrams, and a text without case and accents that an index can rest on."""

from __future__ import annotations

from django.contrib.postgres.operations import TrigramExtension, UnaccentExtension
from django.db import migrations

# unaccent() is only STABLE, since its dictionary could be changed; a function that names the dictionary may be
# IMMUTABLE as long as nobody does. Where the extension lies differs between providers of PostgreSQL, and
# a restore runs without a search path, so the schema is written into the function.
UP = """
DO $do$
DECLARE
    lies_in text := (SELECT nspname FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
                     WHERE extname = 'unaccent');
BEGIN
    EXECUTE format($make$
        CREATE FUNCTION portal_search_text(VARIADIC parts text[]) RETURNS text
        LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
        $body$ SELECT lower(%1$I.unaccent(%2$L::regdictionary, array_to_string(parts, E'\\n', ''))) $body$
    $make$, lies_in, format('%I.unaccent', lies_in));
END $do$;
"""
DOWN = "DROP FUNCTION portal_search_text(text[]);"


class Migration(migrations.Migration):
    """Extensions and a function."""

    dependencies = [("portal", "0002_access_version")]
    operations = [TrigramExtension(), UnaccentExtension(), migrations.RunSQL(UP, DOWN)]
