"""Log lines: one JSON object each in production, no secret, and no traceback that says nothing."""

from __future__ import annotations

import io
import json
import logging
import logging.config

import pytest
from billiard.einfo import ExceptionInfo
from billiard.exceptions import WorkerLostError

from portal.logs import logging_config


@pytest.fixture
def logged():
    """Return a function that logs with the portal's own formatter and gives back the lines."""
    config = logging_config("json", "INFO")
    formatter = config["formatters"]["structured"]
    made = formatter.pop("()")(**formatter)

    def log(message: str, *args: object, **kwargs: object) -> list[dict[str, object]]:
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(made)
        logger = logging.getLogger("portal.tried")
        logger.addHandler(handler)
        try:
            logger.error(message, *args, **kwargs)
        finally:
            logger.removeHandler(handler)
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    return log


def test_a_line_is_one_json_object_even_with_a_traceback(logged):
    try:
        raise ValueError("no such thing")
    except ValueError:
        (line,) = logged("it failed with %s", "this", exc_info=True)
    assert line["event"] == "it failed with this"
    assert line["level"] == "error"
    assert "no such thing" in line["exception"]


def test_a_killed_pool_child_is_one_sentence_without_a_traceback(logged):
    try:
        raise WorkerLostError("Worker exited prematurely: signal 9 (SIGKILL)")
    except WorkerLostError:
        info = ExceptionInfo(internal=True)
    (line,) = logged("Task handler raised error: %r", info.exception.exc, exc_info=info.exc_info)
    assert "signal 9" in line["event"]
    assert "exception" not in line


@pytest.mark.parametrize("name", ["uvicorn", "uvicorn.error", "uvicorn.access"])
def test_the_web_servers_own_lines_are_among_ours(name):
    told = logging_config("json", "INFO")["loggers"][name]
    assert told["handlers"] == []
    assert told["propagate"] is True


@pytest.mark.parametrize(
    ("address", "host"),
    [("/login/?next=%00", "localhost"), ("/a%00b", "localhost"), ("/login/", "evil.example"), ("/", "a b")],
)
def test_what_a_caller_sends_wrong_is_400_and_no_traceback(client, settings, address, host):
    settings.ALLOWED_HOSTS = ["localhost"]
    config = logging_config("json", "INFO")
    formatter = config["formatters"]["structured"]
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter.pop("()")(**formatter))
    logging.getLogger().addHandler(handler)
    try:
        response = client.get(address, HTTP_HOST=host)
    finally:
        logging.getLogger().removeHandler(handler)
    assert response.status_code == 400
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert lines
    assert [line for line in lines if "exception" in line] == []
    assert "Traceback" not in stream.getvalue()
