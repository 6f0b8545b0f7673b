"""Where a desk's data lies, and who may reach it."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from portal.embedded import places, postgres
from portal.embedded.application import portal_children
from portal.embedded.errors import CannotStart, reason_in
from portal.embedded.hold import Wanted, wanted_port
from portal.embedded.places import Unprivileged

STRANGER = Unprivileged(54321, 54321)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to share with another user")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_made_once_and_only_their_owner_reads_them(tmp_path):
    first = places.keys_of(tmp_path)
    assert mode(tmp_path / "secrets.json") == 0o600
    assert places.keys_of(tmp_path) == first
    assert len({first.secret_key, first.audit_key, first.control_token, first.valkey_password}) == 4


def test_the_made_field_key_encrypts():
    from cryptography.fernet import Fernet

    key = Fernet(places._new_key("field_keys").encode())
    assert key.decrypt(key.encrypt(b"secret")) == b"secret"


def test_a_secret_that_a_new_version_needs_is_added_and_the_others_stay(tmp_path):
    (tmp_path / "secrets.json").write_text('{"secret_key": "kept"}')
    keys = places.keys_of(tmp_path)
    assert keys.secret_key == "kept"
    assert keys.audit_key


def test_broken_secrets_are_never_replaced(tmp_path):
    (tmp_path / "secrets.json").write_text("{cut off")
    with pytest.raises(CannotStart, match="put the file back from a backup"):
        places.keys_of(tmp_path)
    assert (tmp_path / "secrets.json").read_text() == "{cut off"


def test_a_port_is_the_same_at_the_next_start(tmp_path):
    assert places.kept_port(tmp_path, "simulator") == places.kept_port(tmp_path, "simulator")


def test_another_port_is_taken_when_the_kept_one_is_in_use(tmp_path):
    port = places.kept_port(tmp_path, "simulator")
    with socket.create_server(("127.0.0.1", port)):
        other = places.kept_port(tmp_path, "simulator")
    assert other != port
    assert places.kept_port(tmp_path, "simulator") == other


def test_a_second_portal_on_the_same_data_is_refused_with_the_first_ones_process(tmp_path):
    # A process of its own: a lock does not refuse the process that holds it.
    ask = "from portal.embedded import places; from pathlib import Path; import sys\nwith places.only_one(Path(sys.argv[1])): pass"
    with places.only_one(tmp_path):
        refused = subprocess.run(
            [sys.executable, "-c", ask, str(tmp_path)],
            cwd=places.REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
    assert f"already running on {tmp_path} (process {os.getpid()})" in refused.stderr
    subprocess.run([sys.executable, "-c", ask, str(tmp_path)], cwd=places.REPOSITORY, check=True)


@pytest.mark.parametrize("parent", ["/tmp", f"/tmp/{'long' * 20}", "/tmp/größe"])
def test_a_sockets_path_is_short_enough_wherever_temporary_files_lie(parent, monkeypatch, tmp_path):
    monkeypatch.setattr(places.tempfile, "gettempdir", lambda: parent)
    path = places.short_temporary_dir() / "steady-00000000" / places.SOCKET_FILE
    assert len(os.fsencode(path)) <= places.LONGEST_SOCKET_PATH_BYTES
    assert str(path).isascii()


def test_the_sockets_directory_is_private_and_used_again(tmp_path):
    made = places.socket_dir(tmp_path, None)
    try:
        assert mode(made) == 0o700
        assert places.socket_dir(tmp_path, None) == made
    finally:
        postgres.forget(tmp_path)
    assert not made.exists()


def test_a_sockets_directory_that_others_may_enter_is_not_used_again(tmp_path):
    made = places.socket_dir(tmp_path, None)
    made.chmod(0o755)
    other = places.socket_dir(tmp_path, None)
    try:
        assert other != made
        assert mode(other) == 0o700
    finally:
        made.rmdir()
        postgres.forget(tmp_path)


def test_a_stranger_does_not_pass_a_private_directory(tmp_path):
    inside = tmp_path / "private" / "data"
    inside.mkdir(parents=True)
    for part in [tmp_path, *tmp_path.parents[:-2]]:
        if part.stat().st_uid == os.geteuid() and part != Path("/tmp"):
            part.chmod(0o711)
    inside.parent.chmod(0o700)
    assert not places.may_reach(inside, STRANGER)
    inside.parent.chmod(0o711)
    assert places.may_reach(inside, STRANGER)


def test_only_notes_that_we_made_are_followed_when_data_is_removed(tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (tmp_path / "socket-dir").write_text(f"{precious}\n")
    postgres.forget(tmp_path)
    assert precious.exists()


@as_root
def test_roots_database_lies_outside_of_a_private_directory(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    outside = Path(postgres.tempfile.mkdtemp(prefix="steady-outside-"))
    outside.chmod(0o711)
    monkeypatch.setattr(places, "REACHABLE_ROOTS", (outside / "kept",))
    found = postgres.postgres_in(home)
    try:
        assert places.may_reach(found.pgdata.parent, places.nobody())
        assert postgres.postgres_in(home).pgdata == found.pgdata
        assert places.may_reach(found.programs, places.nobody())
        postgres.forget(home)
        assert not found.pgdata.parent.exists()
    finally:
        postgres.forget(home)
        postgres.shutil.rmtree(outside)


@as_root
def test_programs_below_roots_home_are_copied_to_where_postgresql_can_run_them(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    postgres.shutil.copytree(postgres.find_programs().parent, home / "pginstall", symlinks=True)
    outside = Path(postgres.tempfile.mkdtemp(prefix="steady-outside-"))
    outside.chmod(0o711)
    monkeypatch.setattr(places, "REACHABLE_ROOTS", (outside / "kept",))
    user = places.nobody()
    try:
        programs = postgres._reachable(home / "pginstall" / "bin", user)
        said = subprocess.run(
            [programs / "postgres", "--version"],
            user=user.uid,
            group=user.gid,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            text=True,
            check=True,
        )
        assert "PostgreSQL" in said.stdout
        assert postgres._reachable(home / "pginstall" / "bin", user) == programs
    finally:
        postgres.shutil.rmtree(outside)


def test_a_database_that_another_version_made_is_left_alone(tmp_path):
    server = postgres.postgres_in(tmp_path)
    server.pgdata.mkdir(parents=True)
    (server.pgdata / "PG_VERSION").write_text("15\n")
    try:
        with pytest.raises(
            CannotStart, match="was made by PostgreSQL 15 and this portal brings PostgreSQL 18"
        ):
            server.make_startable()
    finally:
        postgres.shutil.rmtree(server.pgdata)
        postgres.forget(tmp_path)


def test_a_system_without_wheels_is_told_what_to_do(monkeypatch):
    monkeypatch.setattr(postgres.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CannotStart, match=r"Alpine/musl.*DATABASE_URL and REDIS_URL"):
        postgres.find_programs()


def test_a_full_disk_is_said_before_anything_starts(monkeypatch, tmp_path):
    usage = places.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(places.shutil, "disk_usage", lambda path: usage._replace(free=5 * 1024**2))
    with pytest.raises(CannotStart, match="has 5 MB left and the portal needs 200 MB"):
        places.open_data_dir(tmp_path)


def test_a_file_in_the_place_of_the_data_directory_is_said(tmp_path):
    (tmp_path / "var").write_text("")
    with pytest.raises(CannotStart, match="is not a directory"):
        places.open_data_dir(tmp_path / "var")


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("FATAL: could not write lock file: No space left on device", "The disk that holds /data is full"),
        ("initdb: error: Permission denied", "PostgreSQL may not read or write below /data"),
        ("version `GLIBC_2.28' not found", "needs a newer C library"),
        ("something new", None),
    ],
)
def test_what_a_program_wrote_becomes_one_sentence(output, sentence):
    found = reason_in(output, name="PostgreSQL", place=Path("/data"))
    assert found is None if sentence is None else sentence in found


@pytest.mark.parametrize("text", ["http", "-1", "65536", "80 80"])
def test_a_port_that_is_none_is_said(text, monkeypatch):
    monkeypatch.setenv("PORT", text)
    with pytest.raises(CannotStart, match="must be a number from 0"):
        wanted_port()


def test_what_is_wanted_survives_the_way_to_the_supervisor():
    wanted = Wanted(scenario="launch", simulator_args=("--speed", "60"), workers={"ticks": 1}, beat=False)
    assert Wanted.from_json(wanted.to_json()) == wanted


@pytest.mark.parametrize(
    ("behind_proxy", "option"),
    [("", "--no-proxy-headers"), ("0", "--no-proxy-headers"), ("1", "--proxy-headers")],
)
def test_what_a_caller_says_of_its_own_address_is_believed_behind_a_proxy_only(
    tmp_path, behind_proxy, option
):
    children = portal_children(
        tmp_path,
        {"BEHIND_PROXY": behind_proxy},
        places.keys_of(tmp_path),
        port=8000,
        simulator_port=8001,
        scenario="desk",
    )
    web = next(child for child in children if child.name == "web")
    assert option in web.argv
