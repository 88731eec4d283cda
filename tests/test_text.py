"""Untrusted text: whatever it is, it becomes one printable line or a harmless file name."""

from hypothesis import given
from hypothesis import strategies as st

from esr.text import described, did_you_mean, escaped, file_stem, listed, one_line, quoted, shown_path

ANY = st.text()
"""Any text, with line breaks, escapes, surrogates and invisible characters."""


@given(ANY)
def test_one_line_is_printable_and_stays_as_it_is_the_second_time(text):
    line = one_line(text)
    assert line.isprintable()
    assert one_line(line) == line


@given(st.text(st.characters(categories=["L", "N", "P", "S"])))
def test_one_line_keeps_printable_words(text):
    assert one_line(text) == text


@given(ANY)
def test_an_exception_is_named_on_one_line(text):
    assert described(ValueError(text)).startswith("ValueError: " if one_line(text) else "ValueError")
    assert described(ValueError(text)).isprintable()


@given(ANY, st.integers(1, 100))
def test_a_quotation_is_printable_ascii_of_the_first_characters(text, longest):
    shown = quoted(text, longest)
    assert shown.isascii()
    assert shown.isprintable()
    assert shown[0] == shown[-1]
    assert shown == quoted(text[:longest], longest)


@given(ANY, st.integers(4, 100))
def test_an_escaped_name_is_printable_ascii_and_short(text, longest):
    shown = escaped(text, longest)
    assert shown.isascii()
    assert shown.isprintable()
    assert len(shown) <= longest


@given(st.lists(ANY), st.integers(1, 5))
def test_a_list_shows_the_first_names_and_whether_there_are_more(names, most):
    shown = listed(names, most)
    assert shown.isprintable()
    assert shown.endswith(", …") == (len(names) > most)


@given(ANY)
def test_a_path_is_printable_and_unchanged_if_it_was(text):
    shown = shown_path(text)
    assert shown.isprintable()
    assert (shown == text) == text.isprintable()


@given(ANY)
def test_a_file_stem_leads_nowhere(text):
    stem = file_stem(text, "fallback")
    assert 0 < len(stem) <= 60
    assert stem.isascii()
    assert not set(stem) & set("/\\.: \0")
    assert file_stem("", "fallback") == "fallback"


@given(ANY, st.sets(st.text(min_size=1), min_size=1))
def test_an_exact_name_is_always_suggested(word, known):
    assert did_you_mean(word, known)
    name = min(known)
    folded = [other for other in known if other.casefold() == name.casefold()]
    assert any(other in did_you_mean(name, known) for other in folded)


def test_names_are_suggested_in_any_case_and_listed_where_none_is_near():
    assert did_you_mean("Rlfm", ["rlfn", "imdn"]) == "did you mean rlfn?"
    assert did_you_mean("zzz", ["rlfn", "imdn"]) == "known: imdn, rlfn"
    assert did_you_mean("zzz", []) == "none is known"
