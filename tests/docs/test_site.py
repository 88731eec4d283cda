"""Links of the pages lead somewhere, on GitHub; `make docs` checks them for the site."""

import re

import pytest
from helpers.documented import PAGES
from helpers.paths import ROOT

from esr.config.explain import keys
from esr.config.schema import EsrConf
from esr.records.reasons import REASONS, TELEMETRY_REASONS


def headings(text: str) -> set[str]:
    """Anchors that GitHub gives a page's headings."""
    plain = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"^#+ (.*)$", plain, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", text):
        if target.startswith("https://"):
            continue
        file = page.parent / target if target else page
        assert file.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in headings(file.read_text(encoding="utf-8")), f"{page.name}: {target}#{anchor}"


def test_every_page_is_in_the_sites_menu():
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    hooks = (ROOT / "docs" / "site" / "hooks.py").read_text(encoding="utf-8")
    for page in PAGES:
        name = page.relative_to(ROOT)
        if name.parts[0] == "docs":
            assert re.search(rf"\b{re.escape(str(name.relative_to('docs')))}$", menu, flags=re.MULTILINE), name
        else:
            assert f'"{name}": ' in hooks, name


def test_readmes_place_for_the_demos_output_is_there():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(r"<!-- demo output: begin.*?<!-- demo output: end -->", readme, flags=re.DOTALL)


def test_the_sites_builder_is_pinned_by_hash():
    lock = (ROOT / "docs" / "site" / "requirements.txt").read_text(encoding="utf-8")
    wanted = (ROOT / "docs" / "site" / "requirements.in").read_text(encoding="utf-8")
    assert "://" not in lock
    names = re.findall(r"^([\w.-]+)(?:\[\w+\])?[=<>]", wanted, flags=re.MULTILINE)
    assert names
    for name in names:
        assert re.search(rf"^{name}==\S+ .*\n    --hash=sha256:", lock, flags=re.MULTILINE), name


def text_of(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_of_a_verdict_has_its_condition_and_its_remedy(reason):
    assert f"`{reason}`" in text_of("verdict.md")
    assert f"| `{reason}` |" in text_of("telemetry.md" if reason in TELEMETRY_REASONS else "measuring.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_key_that_a_page_sets_exists(page):
    known = {key.name for key in keys(EsrConf)}
    groups = "timing|device|data|quality|complexity|cudnn|telemetry|model"
    named = re.findall(rf"(?<![\w.])((?:{groups})\.[a-z_.]+)=", page.read_text(encoding="utf-8"))
    assert not [name for name in named if name not in known and not name.startswith("model.args.")]
