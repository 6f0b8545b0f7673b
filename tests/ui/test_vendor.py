"""What browsers download: as published, with licences, and light."""

from __future__ import annotations

import gzip
import importlib.util
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "static"
LIMIT_BYTES = 260_000

_spec = importlib.util.spec_from_file_location("vendor_tool", ROOT / "tools" / "vendor.py")
assert _spec is not None
assert _spec.loader is not None
vendor = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(vendor)


def compressed(path: Path) -> int:
    data = path.read_bytes()
    return len(data) if path.suffix == ".woff2" else len(gzip.compress(data, 9))


def test_nobody_edited_a_vendored_file():
    assert vendor.check() == []


def test_an_edited_or_missing_copy_is_named(tmp_path, monkeypatch):
    manifest = tmp_path / "MANIFEST.json"
    manifest.write_text(
        json.dumps(
            {
                "edited.js": {"package": "p", "version": "1", "sha256": "0" * 64},
                "missing.js": {"package": "p", "version": "1", "sha256": "0" * 64},
            }
        )
    )
    (tmp_path / "edited.js").write_text("changed")
    monkeypatch.setattr(vendor, "ROOT", tmp_path)
    monkeypatch.setattr(vendor, "MANIFEST", manifest)
    assert [line.split()[0] for line in vendor.check()] == ["edited.js", "missing.js"]


def test_the_manifest_names_the_versions_of_package_json():
    wanted = json.loads((ROOT / "package.json").read_text())
    versions = {**wanted["dependencies"], **wanted["devDependencies"]}
    held = {entry["package"]: entry["version"] for entry in json.loads(vendor.MANIFEST.read_text()).values()}
    assert held == versions


def test_every_vendored_folder_has_its_licence():
    for folder in (STATIC / "vendor").iterdir():
        if folder.is_dir():
            assert list(folder.glob("LICENSE*")), folder.name


def test_the_first_view_with_everything_a_page_may_load_stays_under_the_limit():
    served = [*STATIC.rglob("*.css"), *STATIC.rglob("*.js"), *STATIC.rglob("*.woff2")]
    total = sum(compressed(path) for path in served)
    assert 100_000 < total < LIMIT_BYTES - 60_000, total  # what is left is for the page itself


def test_tablers_style_sheet_is_cut_to_the_chosen_selectors():
    css = "/*! head */:root{--tblr-a:1rem;--tblr-b:2px}.card,.d-flex{gap:var(--tblr-a)}@media (min-width:576px){.btn{x:y}.col-sm-6{w:50%}}"
    cut = vendor.subset_tabler(css, "9.9")
    assert ".d-flex{gap:var(--tblr-a)}" in cut
    assert "@media (min-width:576px){.col-sm-6{w:50%}" in cut
    assert "--tblr-a:1rem" in cut
    assert "--tblr-b" not in cut
    assert ".card" not in cut
    assert ".btn" not in cut
