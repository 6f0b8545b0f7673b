"""Renew the front-end files that are kept in the tree, or check that nobody edited them.

    python tools/vendor.py           fetch the versions of package.json with `npm pack`, write the copies
    python tools/vendor.py --check   compare the copies with static/vendor/MANIFEST.json (no network)

Only files that pages and printed reports use are kept: minified scripts, the Latin subset of two variable fonts, and of
Tabler's style sheet the part that `KEEP` names (grid and utilities; its components are not used).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = ROOT / "static" / "vendor" / "MANIFEST.json"
TABLER_CSS = "dist/css/tabler.min.css"

# (package, file in the package, path in the tree). Licences are copied beside each.
FILES: tuple[tuple[str, str, str], ...] = (
    ("htmx.org", "dist/htmx.min.js", "static/vendor/htmx/htmx.min.js"),
    ("htmx.org", "LICENSE", "static/vendor/htmx/LICENSE"),
    ("htmx-ext-sse", "dist/sse.min.js", "static/vendor/htmx-ext-sse/sse.min.js"),
    ("htmx-ext-sse", "LICENSE", "static/vendor/htmx-ext-sse/LICENSE"),
    (
        "idiomorph",
        "dist/idiomorph-ext.min.js",
        "static/vendor/idiomorph/idiomorph-ext.min.js",
    ),
    ("idiomorph", "LICENSE", "static/vendor/idiomorph/LICENSE"),
    ("uplot", "dist/uPlot.iife.min.js", "static/vendor/uplot/uPlot.iife.min.js"),
    ("uplot", "dist/uPlot.min.css", "static/vendor/uplot/uPlot.min.css"),
    ("uplot", "LICENSE", "static/vendor/uplot/LICENSE"),
    (
        "@fontsource-variable/inter",
        "files/inter-latin-wght-normal.woff2",
        "static/vendor/fonts/inter-latin-wght-normal.woff2",
    ),
    ("@fontsource-variable/inter", "LICENSE", "static/vendor/fonts/LICENSE-inter"),
    (
        "@fontsource-variable/jetbrains-mono",
        "files/jetbrains-mono-latin-wght-normal.woff2",
        "static/vendor/fonts/jetbrains-mono-latin-wght-normal.woff2",
    ),
    (
        "@fontsource-variable/jetbrains-mono",
        "LICENSE",
        "static/vendor/fonts/LICENSE-jetbrains-mono",
    ),
    # Embedded into what is printed (drills/after/pdf.py): it writes Latin, Greek, Cyrillic and more.
    ("dejavu-fonts-ttf", "ttf/DejaVuSans.ttf", "portal/fonts/DejaVuSans.ttf"),
    ("dejavu-fonts-ttf", "ttf/DejaVuSans-Bold.ttf", "portal/fonts/DejaVuSans-Bold.ttf"),
    ("dejavu-fonts-ttf", "LICENSE", "portal/fonts/LICENSE"),
    ("axe-core", "axe.min.js", "tests/vendor/axe.min.js"),
    ("axe-core", "LICENSE", "tests/vendor/LICENSE-axe"),
)
# Tabler's npm package carries no licence file; the text is that of its repository.
TABLER_LICENSE = """MIT License

Copyright (c) 2018-2026 The Tabler Authors

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""

_BP = r"(?:-(?:sm|md|lg|xl|xxl))?"
# The selectors of Tabler that stay. A rule stays with those of its selectors that match.
KEEP = re.compile(
    rf"""
      \.row(?:>\*)? | \.row-cols{_BP}-\w+(?:>\*)? | \.col{_BP}(?:-\w+)? | \.offset{_BP}-\d+
    | \.g[xy]?{_BP}-[0-5] | \.container(?:-fluid)?
    | \.d{_BP}-(?:none|block|inline|inline-block|flex|inline-flex|grid)
    | \.flex{_BP}-(?:row|column|wrap|nowrap|fill|grow-[01]|shrink-[01])
    | \.(?:justify-content|align-items|align-self){_BP}-(?:start|end|center|between|baseline|stretch)
    | \.(?:row-|column-)?gap{_BP}-[0-5]
    | \.[mp][tbsexy]?{_BP}-(?:[0-5]|auto)
    | \.text-(?:start|end|center|nowrap|break|truncate|uppercase)
    | \.w-(?:25|50|75|100|auto) | \.h-100 | \.order{_BP}-(?:[0-5]|first|last)
    | \.list-unstyled
    """,
    re.VERBOSE,
)


def split_blocks(css: str) -> Iterator[tuple[str, str]]:
    """Yield (prelude, body) of each block at the top level of `css`, which must be minified."""
    depth, start, opened = 0, 0, 0
    for index, char in enumerate(css):
        if char == "{":
            if depth == 0:
                opened = index
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                yield css[start:opened].strip(), css[opened + 1 : index]
                start = index + 1


def split_selectors(prelude: str) -> list[str]:
    """Return the selectors of a rule; commas inside parentheses do not part them."""
    return [part.strip() for part in re.split(r",(?![^(]*\))", prelude)]


def subset_rules(css: str) -> str:
    """Return the rules of minified `css` whose selectors `KEEP` names, media queries kept around them."""
    kept: list[str] = []
    for prelude, body in split_blocks(css):
        if prelude.startswith("@media"):
            inner = subset_rules(body)
            if inner:
                kept.append(f"{prelude}{{{inner}}}\n")
            continue
        selectors = [selector for selector in split_selectors(prelude) if KEEP.fullmatch(selector)]
        if selectors:
            kept.append(f"{','.join(selectors)}{{{body}}}\n")
    return "".join(kept)


def subset_tabler(css: str, version: str) -> str:
    """Return grid and utilities of Tabler's minified style sheet with the custom properties they need."""
    css = re.sub(r"/\*.*?\*/", "", css.removeprefix('@charset "UTF-8";'), flags=re.DOTALL)
    rules = subset_rules(css)
    root: dict[str, str] = {}
    for prelude, body in split_blocks(css):
        if ":root" in split_selectors(prelude):
            for name, value in re.findall(r"(--tblr-[\w-]+):([^;]+)", body):
                root.setdefault(name, value)
    needed: dict[str, str] = {}
    todo = re.findall(r"var\((--tblr-[\w-]+)", rules)
    while todo:
        name = todo.pop()
        if name in root and name not in needed:
            needed[name] = root[name]
            todo += re.findall(r"var\((--tblr-[\w-]+)", root[name])
    variables = ";".join(f"{name}:{needed[name]}" for name in sorted(needed))
    head = f"/*! Tabler {version}, grid and utilities only (tools/vendor.py). MIT, see LICENSE */\n"
    return f"{head}:root{{{variables}}}\n{rules}" if variables else head + rules


def fetch(package: str, version: str, into: Path) -> tarfile.TarFile:
    """Download one package with the user's npm configuration and open its archive."""
    done = subprocess.run(
        [
            "npm",
            "pack",
            f"{package}@{version}",
            "--silent",
            "--pack-destination",
            str(into),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    return tarfile.open(into / done.stdout.strip().splitlines()[-1])


def read_member(archive: tarfile.TarFile, name: str) -> bytes:
    """Return one file of a package's archive. Raises FileNotFoundError with its name if it is not there."""
    member = archive.extractfile(f"package/{name}")
    if member is None:
        raise FileNotFoundError(f"{name} is not in {archive.name!r}")
    return member.read()


def renew() -> None:
    """Write every vendored file and the manifest with version and SHA-256 of each."""
    package_json = json.loads((ROOT / "package.json").read_text())
    versions: dict[str, str] = {
        **package_json["dependencies"],
        **package_json["devDependencies"],
    }
    written: dict[str, dict[str, str]] = {}

    def write(package: str, path: str, content: bytes) -> None:
        target = ROOT / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        written[path] = {
            "package": package,
            "version": versions[package],
            "sha256": hashlib.sha256(content).hexdigest(),
        }

    with tempfile.TemporaryDirectory() as temporary:
        archives = {name: fetch(name, version, Path(temporary)) for name, version in versions.items()}
        for package, name, path in FILES:
            write(package, path, read_member(archives[package], name))
        tabler = "@tabler/core"
        css = read_member(archives[tabler], TABLER_CSS).decode()
        write(
            tabler,
            "static/vendor/tabler/tabler-base.css",
            subset_tabler(css, versions[tabler]).encode(),
        )
        write(tabler, "static/vendor/tabler/LICENSE", TABLER_LICENSE.encode())
        for archive in archives.values():
            archive.close()
    MANIFEST.write_text(json.dumps(dict(sorted(written.items())), indent=2) + "\n")


def check() -> list[str]:
    """Return one sentence for each vendored file that is missing or differs from the manifest."""
    wrong = []
    for path, entry in json.loads(MANIFEST.read_text()).items():
        target = ROOT / path
        if not target.exists():
            wrong.append(f"{path} is missing. Run tools/vendor.py to fetch it.")
        elif hashlib.sha256(target.read_bytes()).hexdigest() != entry["sha256"]:
            wrong.append(
                f"{path} is not what {entry['package']} {entry['version']} holds. Run tools/vendor.py."
            )
    return wrong


def main() -> int:
    """Run the command line; the exit status is 1 if a check found something."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare with the manifest, fetch nothing")
    if parser.parse_args().check:
        wrong = check()
        print("\n".join(wrong) or "All vendored files are as published.", file=sys.stderr)
        return 1 if wrong else 0
    renew()
    print(
        f"Written: {MANIFEST.relative_to(ROOT)} and the files it lists.",
        file=sys.stderr,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
