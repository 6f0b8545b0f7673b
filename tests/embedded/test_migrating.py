"""What is rendered less often tells the database the same: statement by statement, in a small project of every kind."""

from __future__ import annotations

import pytest
from django.db import connection, migrations, models
from django.db.migrations.state import ProjectState

from portal.embedded.migrating import quickly

pytestmark = pytest.mark.django_db

CASCADE = models.CASCADE


def linked(name):
    return models.ForeignKey(f"shop.{name}", CASCADE)


def model(named, **fields):
    return migrations.CreateModel(named, [("id", models.BigAutoField(primary_key=True)), *fields.items()])


def operations(seen):
    def look(apps, editor):
        shop, order = apps.get_model("shop", "Shop"), apps.get_model("shop", "Order")
        seen.append(
            (
                sorted(one.name for one in shop._meta.get_fields()),
                sorted(one.name for one in order._meta.get_fields()),
                [one.name for one in order._meta.constraints + order._meta.indexes],
                [one.name for one in order._meta.total_unique_constraints],
                order._meta.get_field("shop").related_model is shop,
                apps.get_model("shop", "Line")._meta.get_field("order").related_model is order,
            )
        )

    return [
        model("Shop", name=models.CharField(max_length=20)),
        model("Order", shop=linked("Shop"), number=models.IntegerField()),
        model("Line", order=linked("Order"), says=models.TextField()),
        migrations.AddConstraint(
            "Order", models.UniqueConstraint(fields=["shop", "number"], name="once_per_shop")
        ),
        migrations.AddIndex("Order", models.Index(fields=["number"], name="by_number")),
        migrations.RunPython(look, migrations.RunPython.noop),
        migrations.AddField("Line", "shop", models.ForeignKey("shop.Shop", CASCADE, null=True)),
        migrations.AddConstraint(
            "Line", models.CheckConstraint(condition=~models.Q(says=""), name="says_something")
        ),
        migrations.RenameField("Shop", "name", "title"),
        migrations.AlterField("Order", "number", models.BigIntegerField(default=1)),
        migrations.RemoveConstraint("Order", "once_per_shop"),
        model("Note", on=models.ManyToManyField("shop.Order"), of=linked("Line")),
        migrations.RenameModel("Line", "Row"),
        migrations.CreateModel("Late", [], bases=("shop.shop",)),
        migrations.RemoveField("Order", "shop"),
    ]


def told():
    """Every statement that the operations send, what a data migration sees of the models, and the state at the end."""
    seen = []
    state = ProjectState()
    state.apps  # noqa: B018 - rendered from here on, as in a database that has migrations behind it
    made = migrations.Migration("first", "shop")
    made.operations = operations(seen)
    with connection.schema_editor(atomic=True) as editor:
        said = []
        editor.execute = lambda sql, params=(): said.append((str(sql), params))
        state = made.apply(state, editor)
        said += [(str(sql), None) for sql in editor.deferred_sql]
        editor.deferred_sql.clear()
    return said, seen, state


def test_the_database_is_told_the_same_and_a_data_migration_sees_the_same():
    plain, seen, state = told()
    with quickly():
        quick, also_seen, also_state = told()
    assert len(plain) > 20
    assert quick == plain
    assert seen
    assert also_seen == seen
    assert also_state == state
    assert {*also_state.apps.all_models["shop"]} == {*state.apps.all_models["shop"]}


def test_a_new_model_renders_no_other_and_afterwards_django_renders_as_ever(monkeypatch):
    rendered = []
    state = ProjectState()
    kind = type(state.apps)
    whole = kind.render_multiple
    monkeypatch.setattr(
        kind,
        "render_multiple",
        lambda self, states: (rendered.append([one.name for one in states]), whole(self, states))[1],
    )
    with quickly():
        for made in operations([])[:5]:
            made.state_forwards("shop", state)
    assert rendered == [["Shop"], ["Order"], ["Line"]]
    rendered.clear()
    model("Note", of=linked("Line")).state_forwards("shop", state)
    assert {*rendered[0]} == {"Shop", "Order", "Line", "Note"}
