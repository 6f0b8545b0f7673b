"""How the supervisor treats its children, shown with small programs in their place."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading

import psutil
import pytest

from portal.embedded import places, processes

pytestmark = pytest.mark.process

# The program under test: children by name, told on standard output, one JSON line a change.
PROGRAM = """
import json, os, sys
from pathlib import Path
from portal.embedded.child import Child
from portal.embedded.errors import CannotStart
from portal.embedded.supervisor import Output, Supervisor

data_dir = Path(sys.argv[1])

def child(name, code, **rest):
    return Child(name=name, argv=(sys.executable, "-u", "-c", code), env=dict(os.environ), cwd=data_dir,
                 place=data_dir, **rest)

def flag(name):
    async def ask():
        return os.access(data_dir / name, os.F_OK)
    return ask

def tell(state):
    print(json.dumps(state), flush=True)

WAIT = "import signal\\nwhile True: signal.pause()"
CHILDREN
try:
    Supervisor(data_dir, children, instance=sys.argv[2], output=Output(data_dir / "logs", None), facts={}, tell=tell).run()
except CannotStart as failure:
    tell({"error": str(failure), "details": failure.details})
    sys.exit(1)
"""


class Supervised:
    """A supervisor in a process of its own, with what it told."""

    def __init__(self, data_dir, children, instance="one"):
        self.data_dir = data_dir
        code = PROGRAM.replace("CHILDREN", textwrap.dedent(children))
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, str(data_dir), instance],
            cwd=places.REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.state = {}

    def until(self, fact):
        """Read what is told until `fact` holds of it; fails when the supervisor ends first."""
        limit = threading.Timer(20, self.process.kill)
        limit.start()
        try:
            for line in self.process.stdout:
                self.state = json.loads(line)
                if fact(self.state):
                    return self.state
        finally:
            limit.cancel()
        raise AssertionError(f"the supervisor ended; the last that it told: {self.state}")

    def until_ready(self):
        return self.until(lambda state: state.get("ready"))

    def log(self, name):
        return (self.data_dir / "logs" / f"{name}.log").read_text().splitlines()

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.stdout.read()
        return self.process.wait(timeout=20)


@pytest.fixture
def supervised(tmp_path):
    started = []

    def start(children, **rest):
        started.append(Supervised(tmp_path, children, **rest))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
        one.process.stdout.close()


def pid_of(state, name):
    return state["children"][name]["pid"]


def is_gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_child_starts_only_when_what_it_needs_is_ready(supervised, tmp_path):
    run = supervised(
        """
        children = [
            child("web", WAIT, needs=("database",)),
            child("database", "open('up', 'w'); " + WAIT, ready=flag("up")),
        ]
        """
    )
    first = run.until(lambda state: "database" in state["children"])
    assert "web" not in first["children"]
    state = run.until(lambda state: "web" in state["children"])
    assert state["children"]["database"]["ready"]
    run.until_ready()
    assert run.end() == 0


def test_a_killed_child_is_started_again_and_the_others_stay(supervised):
    run = supervised('children = [child("web", WAIT), child("beat", WAIT)]')
    state = run.until_ready()
    os.kill(pid_of(state, "web"), signal.SIGKILL)
    again = run.until(lambda now: now["children"].get("web", {}).get("starts") == 2)
    assert pid_of(again, "web") != pid_of(state, "web")
    assert pid_of(again, "beat") == pid_of(state, "beat")
    assert run.end() == 0


def test_what_a_killed_child_had_started_ends_with_it(supervised, tmp_path):
    run = supervised(
        """
        code = "import os, signal; pid = os.fork(); pid and open('pool', 'w').write(str(pid)); signal.pause()"
        children = [child("ticks", code, ready=flag("pool"))]
        """
    )
    state = run.until_ready()
    pool = int((tmp_path / "pool").read_text())
    assert not is_gone(pool)
    os.kill(pid_of(state, "ticks"), signal.SIGKILL)
    run.until(lambda now: now["children"].get("ticks", {}).get("starts") == 2)
    assert is_gone(pool)
    assert run.end() == 0


def test_children_end_in_the_reverse_order_of_need(supervised, tmp_path):
    run = supervised(
        """
        def noting(name):
            return ("import signal, sys\\n"
                    f"def end(*_):\\n  open('order', 'a').write('{name} '); sys.exit()\\n"
                    f"signal.signal(signal.SIGTERM, end); open('{name}', 'w')\\n"
                    "while True: signal.pause()")
        children = [
            child("database", noting("database"), ready=flag("database")),
            child("web", noting("web"), needs=("database",), ready=flag("web")),
            child("beat", noting("beat"), needs=("web",), ready=flag("beat")),
        ]
        """
    )
    run.until_ready()
    assert run.end(signal.SIGINT) == 0
    assert (tmp_path / "order").read_text().split() == ["beat", "web", "database"]
    assert not (tmp_path / "state.json").exists()


def test_a_child_that_does_not_end_when_asked_is_killed(supervised, tmp_path):
    run = supervised(
        """
        deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('up', 'w')\\nwhile True: signal.pause()"
        children = [child("web", deaf, ready=flag("up"), stop_grace_s=0.3)]
        """
    )
    state = run.until_ready()
    assert run.end() == 0
    assert is_gone(pid_of(state, "web"))


def test_a_second_ctrl_c_ends_it_at_once(supervised, tmp_path):
    run = supervised(
        """
        deaf = ("import signal; signal.signal(signal.SIGTERM, lambda *_: open('asked', 'w')); open('up', 'w')\\n"
                "while True: signal.pause()")
        children = [child("web", deaf, ready=flag("up"), stop_grace_s=60)]
        """
    )
    state = run.until_ready()
    run.process.send_signal(signal.SIGINT)
    # A stopped file appears once the child heard the first request.
    with pytest.raises(psutil.TimeoutExpired):
        psutil.Process(pid_of(state, "web")).wait(timeout=0.5)
    assert run.end(signal.SIGINT) == 0
    assert (tmp_path / "asked").exists()
    assert is_gone(pid_of(state, "web"))


def test_a_child_that_cannot_start_ends_the_start_with_its_own_words(supervised):
    run = supervised(
        'children = [child("web", "print(\'no such setting\'); raise SystemExit(3)"), child("beat", WAIT)]'
    )
    state = run.until(lambda state: "error" in state)
    assert state["error"] == "web cannot start (it ended by itself with status 3); its last words follow."
    assert state["details"] == "no such setting"
    assert run.process.wait(timeout=10) == 1


def test_a_full_disk_is_named_as_the_reason(supervised, tmp_path):
    run = supervised(
        'children = [child("postgres", "raise SystemExit(\'could not write: No space left on device\')", once=True)]'
    )
    state = run.until(lambda state: "error" in state)
    assert state["error"] == f"The disk that holds {tmp_path} is full; free some space and start again."


def test_a_command_that_must_succeed_first_holds_the_others_back(supervised):
    run = supervised(
        'children = [child("migrate", "raise SystemExit(1)", once=True), child("web", WAIT, needs=("migrate",))]'
    )
    seen = []
    run.until(lambda state: seen.append(state) or "error" in state)
    assert all("web" not in state.get("children", {}) for state in seen)


def test_a_child_that_runs_but_never_answers_is_said(supervised):
    run = supervised('children = [child("web", WAIT, ready=flag("never"), ready_limit_s=0.2)]')
    state = run.until(lambda state: "error" in state)
    assert "web runs but did not answer within 0.2 s" in state["error"]


def test_pauses_between_starts_grow(supervised):
    run = supervised(
        "children = [child(\"web\", \"import os; n = len(os.listdir('.')); open(f'run{n}', 'w'); \" + WAIT)]"
    )
    state = run.until_ready()
    for starts in (2, 3):
        os.kill(pid_of(run.state, "web"), signal.SIGKILL)
        state = run.until(lambda now, starts=starts: now["children"].get("web", {}).get("starts") == starts)
    assert state["children"]["web"]["starts"] == 3
    assert run.end() == 0


def test_nothing_outlives_a_killed_supervisor_not_even_what_its_children_started(supervised, tmp_path):
    run = supervised(
        """
        code = "import os, signal; pid = os.fork(); pid and open('pool', 'w').write(str(pid)); signal.pause()"
        children = [child("ticks", code, ready=flag("pool"))]
        """
    )
    state = run.until_ready()
    left = [psutil.Process(pid_of(state, "ticks")), psutil.Process(int((tmp_path / "pool").read_text()))]
    run.process.kill()
    _, alive = psutil.wait_procs(left, timeout=10)
    assert alive == []


def test_a_start_ends_what_carries_its_mark_and_spares_the_rest(supervised, tmp_path):
    def sleeper(instance):
        return subprocess.Popen(
            [sys.executable, "-c", "import signal; print(flush=True); signal.pause()"],
            env={**os.environ, processes.MARK: instance},
            stdout=subprocess.PIPE,
        )

    ours, other = sleeper("one"), sleeper("two")
    for process in (ours, other):
        process.stdout.readline()
    try:
        run = supervised('children = [child("web", WAIT)]', instance="one")
        run.until_ready()
        assert ours.wait(timeout=5) == -signal.SIGTERM
        assert other.poll() is None
        assert run.end() == 0
    finally:
        for process in (ours, other):
            process.kill()
            process.wait()
            process.stdout.close()


def test_a_recorded_number_that_another_program_has_now_is_spared(supervised, tmp_path):
    bystander = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    try:
        record = {"children": {"web": {"pid": bystander.pid, "created": 1_000_000_000.0}}}
        (tmp_path / "state.json").write_text(json.dumps(record))
        run = supervised('children = [child("web", WAIT)]')
        run.until_ready()
        assert bystander.poll() is None
        assert run.end() == 0
    finally:
        bystander.kill()
        bystander.wait()


def test_a_killed_minder_is_replaced(supervised, tmp_path):
    run = supervised('children = [child("web", WAIT)]')
    state = run.until_ready()
    minders = [
        p for p in psutil.Process(run.process.pid).children() if "portal.embedded.minder" in p.cmdline()
    ]
    minders[0].kill()
    os.kill(pid_of(state, "web"), signal.SIGKILL)
    run.until(lambda now: now["children"].get("web", {}).get("starts") == 2)
    again = [p for p in psutil.Process(run.process.pid).children() if "portal.embedded.minder" in p.cmdline()]
    assert len(again) == 1
    assert again[0].pid != minders[0].pid
    assert run.end() == 0


def test_what_children_write_is_kept_in_a_file_each(supervised):
    run = supervised(
        "children = [child(\"web\", \"print('hello'); open('up', 'w'); \" + WAIT, ready=flag(\"up\"))]"
    )
    run.until_ready()
    assert run.end() == 0
    assert run.log("web") == ["hello"]
