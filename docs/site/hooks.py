"""Hooks of the documentation's build: pages and files from outside docs/, and the links that lead to them.

On GitHub a page links to a file of the repository by its relative path. In the site some of these files are pages, the
others are copied below `source/`, so every link leads somewhere without the repository's address.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "docker/README.md": "container.md",
    "examples/README.md": "examples.md",
    "model_zoo/README.md": "bundled-weights.md",
}
"""Path in the repository -> page of the site."""
_SOURCES = {page: source for source, page in PAGES.items()}
_LINK = re.compile(r"\[([^\]]*)\]\(([^()\s#]+)(#[^()\s]*)?\)")
_FENCE = re.compile(r"^(```.*?^```$)", re.DOTALL | re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages and the linked files that lie outside docs/."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    linked = {target for page in files.documentation_pages() for target in _outside(page)}
    for target in sorted(linked):
        files.append(File.generated(config, _place(target), abs_src_path=str(ROOT / target)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Points each link at the site's own page or file."""
    here = page.file.src_uri

    def pointed(link: re.Match[str]) -> str:
        target = _target(here, link[2])
        if target is None:
            return link[0]
        if (ROOT / target).is_dir():
            return link[1]  # a folder has no page
        there = _place(target)
        return f"[{link[1]}]({posixpath.relpath(there, posixpath.dirname(here) or '.')}{link[3] or ''})"

    parts = _FENCE.split(markdown)
    return "".join(part if number % 2 else _LINK.sub(pointed, part) for number, part in enumerate(parts))


def _outside(page: File) -> Iterator[str]:
    """Files of the repository, but no pages, that a page links to."""
    for link in _LINK.finditer(_FENCE.sub("", page.content_string)):
        target = _target(page.src_uri, link[2])
        if target and (ROOT / target).is_file() and _place(target).startswith("source/"):
            yield target


def _target(page: str, link: str) -> str | None:
    """Path in the repository that a page's link names; `None` for an address."""
    if re.match(r"[a-z]+:", link):
        return None
    source = _SOURCES.get(page, f"docs/{page}")
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def _place(target: str) -> str:
    """Path in the site of a file of the repository; a missing one keeps a path that the strict build refuses."""
    if target.startswith("docs/"):
        return target.removeprefix("docs/")
    return PAGES.get(target, f"source/{target.lstrip('.')}")  # the build leaves out names with a dot
