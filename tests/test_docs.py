"""What README and docs name is there: every relative link, every `make` target, every variable."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"```.*?```", re.DOTALL)


def slugs(page: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    heads = re.findall(r"^#+ +(.+)$", _FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_relative_link_leads_somewhere(page):
    for link in _LINK.findall(_FENCE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        assert target.is_relative_to(ROOT), f"{link} leads out of the repository"
        if anchor and target.suffix == ".md":
            assert anchor in slugs(target), f"{link} names no heading"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_make_target_that_is_named_is_in_the_makefile(page):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    code = " ".join(re.findall(r"`[^`]+`", page.read_text()))
    shell = "\n".join(re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL))
    named = re.findall(r"\bmake ([a-z]+)\b", code) + re.findall(r"^make ([a-z]+)\b", shell, re.MULTILINE)
    assert set(named) <= targets


def test_every_variable_of_the_settings_is_in_the_operators_guide():
    read = re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', (ROOT / "portal/settings.py").read_text())
    assert len(read) > 15
    guide = (ROOT / "docs/operations.md").read_text()
    assert not [name for name in read if f"`{name}`" not in guide]
