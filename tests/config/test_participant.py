"""A stranger's YAML: whatever is wrong with it ends in one line that names the file."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from esr.config.participant import read_network
from esr.config.yaml_files import MOST_BYTES
from esr.errors import ConfigError

TARGET = b"_target_: tiny.Tiny\n"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(12)
)
WRONG = {
    "Latin-1": (TARGET + "team: Universit\xe9\n".encode("latin-1"), "is not UTF-8 (line 2); save it as UTF-8"),
    "UTF-16": (TARGET.decode().encode("utf-16"), "is not UTF-8 (line 1)"),
    "a bomb of aliases": (BOMB.encode(), "more than 10,000 keys and values"),
    "an alias of itself": (TARGET + b"args: &a {x: *a}\n", "*a refers to nothing before it"),
    "deep lists": (TARGET + b"args: {x: " + b"[" * 9000 + b"]" * 9000 + b"}", "nested more than 30 deep"),
    "deep mappings": (TARGET + b"args: " + b"{x: " * 99 + b"1" + b"}" * 99, "nested more than 30 deep"),
    "a huge file": (TARGET + b"#" * MOST_BYTES, "is larger than 100,000 bytes"),
    "Hydra's defaults": (TARGET + b"defaults: [/model/imdn]\n", "defaults: is Hydra's, not a network's"),
    "Hydra's own group": (TARGET + b"hydra: {run: {dir: x}}\n", "hydra: is Hydra's, not a network's"),
    "a list of arguments": (TARGET + b"args: [1, 2]\n", "args: must be a mapping, as args: {KEY: VALUE}"),
    "a checkpoint's path": (TARGET + b"checkpoint: w.pth\n", "checkpoint: must be a mapping"),
    "a list of renames": (TARGET + b"checkpoint: {rename: [a]}\n", "checkpoint.rename: must be a mapping"),
    "one drop": (TARGET + b"checkpoint: {drop: a}\n", "checkpoint.drop: must be a list, as drop: ['PATTERN']"),
    "an argument NaN": (TARGET + b"args: {channels: .nan}\n", "args.channels: is nan, must be finite"),
    "an argument inf": (TARGET + b"args: {a: {b: [1, -.inf]}}\n", "args.a.b[1]: is -inf, must be finite"),
    "a huge integer": (TARGET + b"args: {n: 100000000000000000000000}\n", "args.n: is an integer of 77 bits"),
    "bytes": (TARGET + b"args: {n: !!binary aGVsbG8=}\n", "args.n: is a bytes, expected a number"),
    "a range NaN": (TARGET + b"data_range: .nan\n", "data_range: "),
    "a published NaN": (TARGET + b"published: {psnr_rgb: {set5: .nan}}\n", "published.psnr_rgb"),
    "a tile NaN": (TARGET + b"tile: {size: .nan}\n", "tile.size: "),
    "Python's objects": (TARGET + b"args: {x: !!python/object/apply:os.system [id]}\n", "not valid YAML"),
    "two documents": (TARGET + b"---\n" + TARGET, "not valid YAML"),
    "a control character": (TARGET + b"team: \x1b[2J\n", "not valid YAML"),
    "a value of itself": (TARGET + b"team: ${title}\ntitle: ${team}\n", "Recursive interpolation"),
    "no class": (b"team: x\n", "_target_ is missing, the class as MODULE.CLASS"),
    "a list": (b"- a\n- b\n", "no keys found"),
    "nothing": (b"", "no keys found"),
    "a path as a class": (b"_target_: ../../x.Y\n", "_target_='../../x.Y': is a file's path; put the file beside"),
    "a colon": (b"_target_: tiny:Tiny\n", "is written with a colon; write MODULE.CLASS"),
    "a class alone": (b"_target_: Tiny\n", "_target_='Tiny': names no module"),
    "a long class path": (b"_target_: " + b"a" * 90_000 + b".Y\n", "is 90,002 characters long, at most 200 are read"),
    "no method": (TARGET + b"after_load: 3\n", "after_load='3': is no name of a method"),
    "a method with arguments": (TARGET + b"after_load: [fuse(1)]\n", "after_load='fuse(1)': is no name"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_with_a_yaml_is_one_line_with_the_file(kind: str, tmp_path: Path) -> None:
    content, words = WRONG[kind]
    (tmp_path / "tiny.yaml").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_network(tmp_path / "tiny.yaml")
    line = str(caught.value)
    assert line.startswith(f"{tmp_path / 'tiny.yaml'}: ")
    assert words in line
    assert len(line) < 900
    assert line.isprintable()


@pytest.mark.parametrize(
    "more",
    [
        b"",
        b"args: {channels: &c 8, after: *c}\n",
        b"after_load: switch_to_deploy\n",
        b"after_load: [a, backbone.fuse]\n",
    ],
)
def test_what_honest_people_write_is_read(more: bytes, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_bytes(b"\xef\xbb\xbf" + TARGET + more)  # with the mark that Windows' editor writes
    config = read_network(tmp_path / "tiny.yaml")
    assert (config.name, config.source) == ("tiny", str(tmp_path / "tiny.yaml"))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.text("[]{}:-&*!?|>'\"#,. \n\tax0${}", max_size=80).map(str.encode))
def test_any_bytes_end_in_a_configuration_or_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "any.yaml").write_bytes(TARGET + content)
    line = "read"
    try:
        read_network(tmp_path / "any.yaml")
    except ConfigError as error:
        line = str(error)
    assert line.isprintable()


def test_an_operator_is_compiled_only_in_an_image_that_was_made_for_it(tmp_path, monkeypatch):
    file = tmp_path / "model.yaml"
    file.write_text("_target_: net.Net\nbuild: ops\n")
    with pytest.raises(ConfigError, match=r"build: ops: nothing is compiled here; make an image of its own"):
        read_network(file)
    monkeypatch.setenv("ESR_BUILT", "ops")
    assert "build" not in read_network(file)
    monkeypatch.setenv("ESR_BUILT", "other")
    with pytest.raises(ConfigError, match="nothing is compiled here"):
        read_network(file)
