"""People of the demo: a browser each, over HTTP alone, and what the story they tell must hold."""

from __future__ import annotations

import html
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

MAIL_LIMIT_S = 20.0


class StoryFailed(Exception):
    """The story cannot go on, with the sentence why."""


class Browser:
    """One person at a browser: follows redirects, carries cookies, sends forms with their token."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.http = httpx.Client(base_url=base_url, follow_redirects=True, timeout=40.0, trust_env=False)

    def open(self, path: str) -> httpx.Response:
        """Open a page."""
        return self.http.get(path)

    def send(self, path: str, **fields: str) -> httpx.Response:
        """Open the page at `path` and send its form."""
        page = self.open(path)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        if token is None:
            raise StoryFailed(f"{path} shows no form ({page.status_code}).")
        # With the token goes what the page says that it showed.
        seen = dict(re.findall(r'name="(seen)" value="([^"]+)"', page.text))
        data = {"csrfmiddlewaretoken": token.group(1), **seen, **fields}
        return self.http.post(path, data=data, headers={"Referer": f"{self.base_url}{path}"})

    def api(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """Ask the API with this browser's session."""
        if method != "GET":
            # The token stands in a cookie that pages cannot read; a browser's own client sends it as a header.
            headers |= {
                "X-CSRFToken": self.http.cookies.get("csrftoken") or "",
                "Referer": f"{self.base_url}/",
                "Idempotency-Key": str(uuid.uuid4()),
            }
        return self.http.request(method, f"/api/v1{path}", json=body, headers=headers)

    def log_in(self, email: str, password: str) -> httpx.Response:
        """Give mail and password."""
        return self.send("/login/", username=email, password=password)


def says(answer: httpx.Response) -> str:
    """Return the sentence of a refusal: a problem's detail, or what the page's alert says."""
    if "json" in answer.headers.get("content-type", ""):
        problem = answer.json()
        return str(problem.get("detail") or problem)
    found = re.search(r'<div class="alert-body"[^>]*>(.*?)</div>', answer.text, re.DOTALL)
    text = found.group(1) if found else (re.search(r"<h1>.*?</p>", answer.text, re.DOTALL) or [""])[0]
    return html.unescape(" ".join(re.sub(r"<[^>]+>", " ", text).split()))


@dataclass
class Story:
    """The portal, what was said, and how often the portal refused as it must."""

    url: str
    say: Callable[[str], None]
    refused: list[str] = field(default_factory=list)

    def must(self, answer: httpx.Response, status: int, what: str) -> httpx.Response:
        """Go on only if the portal answered as it must."""
        if answer.status_code != status:
            raise StoryFailed(f"{what}: {answer.status_code} and not {status}. {says(answer)[:300]}")
        return answer

    def refuses(self, answer: httpx.Response, status: int, what: str) -> None:
        """The portal must say no here."""
        self.must(answer, status, what)
        self.refused.append(what)
        self.say(f"refused ({status}): {what}: {says(answer)}")

    def link_in_mail(self, to: str, *, before: str = "", to_page: str = "join") -> str:
        """Return the path of the newest link in the desk's mailbox to this address, other than `before`.

        `to_page` is how the path begins: `join` for invitations.
        """
        reader, ends_at = Browser(self.url), time.monotonic() + MAIL_LIMIT_S
        while time.monotonic() < ends_at:
            inbox = reader.open("/desk/mail/").text
            for row in re.findall(r"<tr>(.*?)</tr>", inbox, re.DOTALL):
                mail = re.search(r'href="(/desk/mail/[0-9a-f-]{36}/)"', row)
                if to in row and mail:
                    found = re.search(rf"/{to_page}/[A-Za-z0-9_:-]+/", reader.open(mail.group(1)).text)
                    if found and found.group(0) != before:
                        return found.group(0)
            time.sleep(0.3)
        raise StoryFailed(f"No mail with a link to /{to_page}/ for {to} came into the desk's mailbox.")
