"""The Chaos Toolkit itself takes what the portal writes, and the portal what the toolkit writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace

import pytest

from drills.interchange.chaostoolkit import export_experiment, import_experiment
from drills.interchange.drafts import draft_of
from drills.interchange.journals import export_journal, import_journal
from drills.scenarios.types import InjectionKind
from drills.types import DrillProbe
from portal.runs.types import RunStatus
from tests.drills.interchange.cases import DRILL, progress_of
from tests.simulator.test_process import CONTROL, simulator

pytestmark = pytest.mark.process


@contextmanager
def started(folder, *arguments):
    """Start the toolkit as a person does, with a home of its own and without asking for news."""
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    process = subprocess.Popen(
        [sys.executable, "-m", "chaostoolkit", "--no-version-check", "--no-log-file", *arguments],
        cwd=folder,
        env={**environment, "HOME": str(folder), "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def chaos(folder, *arguments):
    """Run the toolkit to its end; what it said is `told`."""
    with started(folder, *arguments) as process:
        process.told, _ = process.communicate(timeout=120)
    return process


def written(folder, plan):
    path = folder / "experiment.json"
    path.write_text(json.dumps(export_experiment(plan)))
    return path


@pytest.mark.parametrize(
    "plan",
    [
        DRILL,
        replace(DRILL, probes=(), injection=InjectionKind.TALK),
        replace(DRILL, objective="", scenario_title="${a} $b"),
    ],
    ids=["probes", "talk", "variables"],
)
def test_the_toolkit_finds_an_export_valid(tmp_path, plan):
    done = chaos(tmp_path, "validate", written(tmp_path, plan))
    assert done.returncode == 0, done.told


def test_the_toolkit_finds_a_file_invalid_that_is_none(tmp_path):
    """So that the test above can fail."""
    value = export_experiment(DRILL)
    value["steady-state-hypothesis"]["probes"][1]["tolerance"] = {"type": "range", "range": [1]}
    (tmp_path / "experiment.json").write_text(json.dumps(value))
    assert chaos(tmp_path, "validate", "experiment.json").returncode != 0


def site_plan(client, *, step_s=0, **more):
    balancers = client.get("/_sim/world", headers=CONTROL).json()["load_balancers"]
    url = f"{client.base_url}/site/{next(one['id'] for one in balancers if one['name'] == 'web')}"
    probes = (DrillProbe("home", url), DrillProbe("shop", url, timeout_s=2.5, **more))
    return replace(DRILL, probes=probes, steps=tuple(replace(one, expected_s=step_s) for one in DRILL.steps))


def journal_of(folder):
    return import_journal((folder / "journal.json").read_bytes())


def test_an_exported_drill_runs_and_its_journal_comes_back(tmp_path):
    with simulator("--scenario", "launch") as (_, client):
        plan = site_plan(client, must_contain="Welcome to the shop.")
        done = chaos(tmp_path, "run", "--journal-path", "journal.json", written(tmp_path, plan))
    found = journal_of(tmp_path)
    assert done.returncode == 0, done.told
    assert (found.status, found.deviated, found.held) == ("completed", False, True)
    assert [(one.name, one.tolerance_met) for one in found.after.probes] == [
        ("home", True),
        ("shop", True),
        ("shop: text", True),
    ]
    assert len(found.run) == len(plan.steps)
    assert len(found.rollbacks) == 1
    assert found.experiment.draft == draft_of(plan)
    assert {"platform", "node"} <= set(found.dropped)


def test_an_exported_drill_deviates_where_the_site_fails_meanwhile(tmp_path):
    with simulator("--scenario", "launch") as (_, client):
        path = written(tmp_path, site_plan(client, step_s=1))
        with started(tmp_path, "run", "--journal-path", "journal.json", path) as process:
            # What was claimed held before; then somebody does the first step by hand.
            assert any("Pausing before next activity" in told for told in process.stdout)
            fault = {"kind": "server_error", "route": "site.probe", "status": 503, "times": 1000}
            assert client.post("/_sim/faults", headers=CONTROL, json=fault).status_code == 201
            process.communicate(timeout=60)
    found = journal_of(tmp_path)
    assert process.returncode != 0
    assert (found.deviated, found.before.met, found.after.met, found.held) == (True, True, False, False)


def test_a_drill_whose_site_is_not_as_it_should_be_before_shows_nothing(tmp_path):
    """The toolkit calls that completed, and not deviated."""
    with simulator("--scenario", "launch") as (_, client):
        plan = site_plan(client, must_contain="Goodbye.")
        chaos(tmp_path, "run", "--journal-path", "journal.json", written(tmp_path, plan))
    found = journal_of(tmp_path)
    assert (found.before.met, found.after, found.held) == (False, None, None)


def test_the_toolkits_own_rules_take_our_journal(tmp_path):
    """A journal is what its report reads; the experiment in it must be one that can be held again."""
    value = export_journal(DRILL, progress_of(), RunStatus.COMPLETED)
    (tmp_path / "experiment.json").write_text(json.dumps(value["experiment"]))
    assert chaos(tmp_path, "validate", "experiment.json").returncode == 0
    assert import_experiment(value["experiment"]).is_ours
