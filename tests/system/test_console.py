"""The one console: its width without a terminal, and strings printed as they are."""

import io

from rich.console import Console

from esr.system.console import PIPED_WIDTH, StageBars, captured, console


def test_a_pipe_has_the_fixed_width_unless_columns_states_another(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert console().width == PIPED_WIDTH
    monkeypatch.setenv("COLUMNS", "70")
    assert console().width == 70


def test_markup_and_emoji_codes_are_printed_as_they_are():
    assert captured(lambda screen: screen.print("[red]a[/red] :smile:")) == "[red]a[/red] :smile:\n"


def test_a_stage_replaces_the_bar_of_the_stage_before():
    text = io.StringIO()
    with StageBars(Console(file=text, width=100, force_terminal=True)) as bars:
        bars.stage("[quality]", 4)
        bars.advance(3)
        bars.live.refresh()
        bars.stage("rounds", None)
        bars.at(1, 2)
        assert [task.description for task in bars.live.tasks] == ["rounds"]
    assert "[quality]" in text.getvalue()
    assert "3/4" in text.getvalue()


def test_a_note_and_an_indented_text_keep_their_margin_when_they_wrap():
    def draw(screen):
        words = "one two three four"
        for text in ("¹² one two three", f"· {words}", f"  {words}", words, "· one", "· " + 12 * "日"):
            screen.print(text)

    lines = [line.rstrip() for line in captured(draw, width=12).splitlines()]
    assert lines[:2] == ["¹² one two", "   three"]
    lines = lines[2:]
    assert lines[:6] == ["· one two", "  three four", "  one two", "  three four", "one two", "three four"]
    assert lines[6:] == ["· one", "· " + 5 * "日", "  " + 5 * "日", "  " + 2 * "日"]
