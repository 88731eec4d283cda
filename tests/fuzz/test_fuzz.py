"""Anything that strangers can type or send: it is read, or refused in one line; nothing else.

A few seconds of it run by default; `make fuzz` runs other examples each time, for an hour in all.
"""

import functools
import json
import os
import time
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers import rankings
from helpers.challenge_repository import make_repository
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from safetensors.torch import save as save_safetensors

import esr.conf
from esr.cli.command import run as command
from esr.config.compose import compose
from esr.config.participant import read_network
from esr.config.repository import read_layout
from esr.config.repository_sources import examine
from esr.config.schema import CheckpointConf, EsrConf
from esr.errors import EsrError
from esr.images.files import read_rgb
from esr.networks.weight_files import read_weights
from esr.ranking.challenge import load_challenge
from esr.ranking.collection import collect, rank_records
from esr.records.files import load_record
from esr.report.record_table import print_record
from esr.system.console import console

SECONDS = float(os.environ.get("ESR_FUZZ_SECONDS", "0"))
"""Per target; 0: a fixed, small number of examples."""
SEED = int(os.environ.get("ESR_FUZZ_SEED") or time.time_ns())
"""Of the first examples; the next ones are those of the next numbers."""
EXAMPLES = 25
SLOW = {"test_overrides": 6, "test_commands": 12, "test_records": 10, "test_changed_records": 10}
"""Targets that take more than milliseconds -> their number of examples."""
SLOW_S = 20.0
"""Longer than any file or command may keep a reader busy."""
FIRST = [json.dumps(one).encode() for one in (rankings.document(), rankings.document(spread=0.3, team="a|b"))]
HARD = [
    "",
    "0",
    "-1",
    "1e999",
    "nan",
    "null",
    "~",
    "[]",
    "{}",
    "'",
    '"',
    "${",
    "${a}",
    "\x00",
    "\x1b[2J",
    "\u202e",
    "\U0001d518",
    "=",
    ",",
    "\\",
]
"""Pieces that have a meaning somewhere."""


def few(target: Callable[..., None]) -> Callable[..., None]:
    """Runs the default examples, the same each time; with `ESR_FUZZ_SECONDS` others, until the time is over."""
    checks = list(HealthCheck)
    if not SECONDS:
        return settings(max_examples=SLOW.get(target.__name__, EXAMPLES), suppress_health_check=checks, deadline=None)(
            target
        )
    others = settings(max_examples=50, suppress_health_check=checks, deadline=None, database=None, derandomize=False)
    prepared = others(target)

    @functools.wraps(target)
    def for_a_while(*arguments: object, **more: object) -> None:
        end, number = time.monotonic() + SECONDS, SEED
        while time.monotonic() < end:
            number += 1
            seed(number)(prepared)(*arguments, **more)

    return for_a_while


def refused(action: Callable[[], object]) -> object:
    """The result, or `None` for a refusal, which has to be one printable line and come soon."""
    start = time.monotonic()
    try:
        return action()
    except EsrError as error:
        text = str(error)
        assert text.strip()
        assert "\n" not in text
        assert "Traceback" not in text
        return None
    finally:
        assert time.monotonic() - start < SLOW_S


@st.composite
def mutated(draw: st.DrawFn, originals: list[bytes], pieces: list[bytes]) -> bytes:
    """A valid file with some of its bytes replaced, cut out, doubled or moved."""
    content = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        length = draw(st.sampled_from((0, 1, 2, 4, 8, 64)))
        kind = draw(st.sampled_from(("piece", "bytes", "cut", "double", "end")))
        if kind == "piece":
            content[at : at + length] = draw(st.sampled_from(pieces))
        elif kind == "bytes":
            content[at : at + length] = draw(st.binary(max_size=12))
        elif kind == "cut":
            del content[at : at + length]
        elif kind == "double":
            content[at:at] = content[at : at + 64]
        else:
            del content[at:]
    return bytes(content)


PIECES = [one.encode("utf-8", "surrogatepass") for one in HARD] + [
    b"\xff",
    b"\xff" * 8,
    b"\x00" * 8,
    b"9" * 40,
    b"[" * 50,
]
KEYS = (
    *(
        "model",
        "baseline",
        "data",
        "timing",
        "device",
        "weights",
        "out",
        "lock",
        "sandbox",
        "repo",
        "id",
        "baseline_id",
    ),
    *("timing.rounds", "timing.seed", "timing.precision", "device.cpus", "data.root", "model.args", "+model.args.x"),
    *("model.name", "model.tile.size", "complexity.height", "telemetry.host_hz", "quality.save", "~model", "++a.b", ""),
)
VALUES = st.one_of(
    st.sampled_from(
        (*HARD, "imdn", "rlfn", "repo", "all", "cpu", "quick", "[1,2]", "{a: 1}", "0-3", "1e308", "9" * 30)
    ),
    st.text(max_size=12),
    st.builds("".join, st.lists(st.sampled_from(HARD), max_size=5)),
)
OVERRIDES = st.lists(st.builds("{}={}".format, st.sampled_from(KEYS), VALUES), max_size=4)


@few
@given(OVERRIDES, st.booleans())
def test_overrides(words, with_model):
    result = refused(lambda: compose([*(["model=imdn"] if with_model else []), *words]))
    assert result is None or isinstance(result, EsrConf)


WORDS = st.lists(
    st.one_of(VALUES, st.sampled_from(("--help-me", "--format", "json", "list", "--margin", "--", "-m", "-", "."))),
    max_size=4,
)


@few
@given(st.sampled_from(("rank", "compare", "repo", "rerun", "show", "check")), WORDS)
def test_commands(tmp_path_factory, name, words):
    os.chdir(EMPTY[0] if EMPTY else _empty(tmp_path_factory))
    if not any(
        word in ("-h", "--help") or "imdn" in word or "rlfn" in word or "\0" in word or word.startswith(("/", "~"))
        for word in words
    ):
        refused(lambda: command([name, *words]))


EMPTY: list[Path] = []


def _empty(factory: pytest.TempPathFactory) -> Path:
    EMPTY.append(factory.mktemp("empty"))
    return EMPTY[0]


YAMLS = [
    b"_target_: net.Net\nargs: {channels: 8, names: [a, b]}\ndata_range: 255.0\ntile: {size: 64}\nname: net\n",
    b"_target_: net.Net\ncheckpoint:\n  file: x.pth\n  rename: {'^a': b}\n  drop: ['^c']\nclaims: {psnr: 27.1}\n"
    b"published: {runtime_ms: 3.0}\nafter_load: fuse\nrequirements: needs.txt\nrepository: {root: r, id: 3}\n",
    b"_target_: &a net.Net\nargs: {x: *a, y: [*a, *a]}\n",
    (Path(esr.conf.__file__).parent / "challenge" / "ntire2024.yaml").read_bytes(),
]


@few
@given(mutated(YAMLS, [*PIECES, b": ", b"\n- ", b"&a ", b"*a", b"!!python/object:os.system ", b"<<: ", b"? ", b"\t"]))
def test_yamls(tmp_path_factory, content):
    file = _file(tmp_path_factory, "net.yaml", content)
    refused(lambda: read_network(file))
    refused(lambda: load_challenge(str(file)))


def printed_and_ranked(file: Path) -> None:
    record = refused(lambda: load_record(file))
    if record is not None:
        screen = console()
        with screen.capture():
            print_record(record, screen)
    refused(lambda: rank_records(collect([file]), load_challenge("ntire2022")))


@few
@given(mutated(FIRST, [*PIECES, b"-0", b"1e400", b'":{', b"true", b'"value":', b"0.1", b'"rounds":99999999']))
def test_records(tmp_path_factory, content):
    printed_and_ranked(_file(tmp_path_factory, "record.json", content))


@st.composite
def changed_records(draw: st.DrawFn) -> bytes:
    """A valid record with a few values replaced, each by one of another kind or size."""
    document = json.loads(draw(st.sampled_from(FIRST)))
    for _ in range(draw(st.integers(1, 4))):
        place, parent, key = document, None, None
        while isinstance(place, (dict, list)) and place:
            parent, key = place, draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
            place = parent[key]
            if draw(st.integers(0, 5)) == 0:
                break
        odd = st.sampled_from(
            [None, True, -1, 0, 1, 2**63, 1e308, -1e-308, "", "x" * 300, [], {}, [[]], "nan", "2026-01-01"]
        )
        parent[key] = draw(st.one_of(odd, st.text(max_size=5), st.floats(allow_nan=False, allow_infinity=False)))
    return json.dumps(document).encode()


@few
@given(changed_records())
def test_changed_records(tmp_path_factory, content):
    printed_and_ranked(_file(tmp_path_factory, "record.json", content))


def _weights() -> list[bytes]:
    state = {"a.weight": torch.ones(2, 3), "a.bias": torch.zeros(2), "n": torch.tensor(3)}
    new, old = BytesIO(), BytesIO()
    torch.save({"params": state, "epoch": 3}, new)
    torch.save(state, old, _use_new_zipfile_serialization=False)
    stored = BytesIO()
    with zipfile.ZipFile(new) as source, zipfile.ZipFile(stored, "w") as target:
        for one in source.infolist():
            target.writestr(one.filename, source.read(one))
    return [save_safetensors(state), new.getvalue(), old.getvalue(), stored.getvalue()]


@few
@given(
    mutated(
        _weights(), [*PIECES, b'"dtype":"F64"', b'"shape":[99999999,99999999]', b"\x80\x02", b"cos\nsystem\n", b"R."]
    )
)
def test_weight_files(tmp_path_factory, content):
    file = _file(tmp_path_factory, "x.pth", content)
    refused(lambda: read_weights(file, CheckpointConf()))


def _images() -> list[bytes]:
    picture = np.arange(8 * 9 * 3, dtype=np.uint8).reshape(8, 9, 3)
    kinds = (".png", ".bmp", ".tiff", ".webp", ".jpg")
    return [bytes(cv2.imencode(kind, picture)[1]) for kind in kinds] + [bytes(cv2.imencode(".png", picture[..., 0])[1])]


@few
@given(
    mutated(_images(), [*PIECES, b"IHDR", b"tRNS", b"iCCP", b"IDAT", b"acTL", b"\x00\x00\x7f\xff", b"\x7f\xff\xff\xff"])
)
def test_images(tmp_path_factory, content):
    file = _file(tmp_path_factory, "x.png", content)
    image = refused(lambda: read_rgb(file))
    assert image is None or (image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8)


SCRIPTS: list[bytes] = []


@few
@given(st.data())
def test_repositories(tmp_path_factory, data):
    if not SCRIPTS:
        made = make_repository(tmp_path_factory.mktemp("original") / "r")
        SCRIPTS.append((made / "test_demo.py").read_bytes())
        SCRIPTS.append(
            b"def select_model(args, device):\n    if args.model_id == -1:\n        name = f'{3:02}_a'\n"
            b"        from models.a import A\n        model = A('model_zoo', os.path.join('x', 'y.pth'))\n"
        )
    odd = [
        b"if 1 == model_id:",
        b"f'{model_id:999999999}'",
        b"data_range = 1e999",
        b"name = b'x'",
        b"elif",
        b"(" * 300,
        b"lambda: ",
        b"os.path.join(",
        b"-" * 500,
        b"model_id == 10**99",
        b"from . import x\n",
        b"9" * 5000,
    ]
    content = data.draw(mutated(SCRIPTS, [*PIECES, *odd]))
    folder = _file(tmp_path_factory, "test_demo.py", content).parent

    def listed() -> Iterator[object]:
        layout = read_layout(folder)
        return [examine(layout, entry) for entry in layout.entries]

    refused(listed)


FILES: dict[str, Path] = {}


def _file(factory: pytest.TempPathFactory, name: str, content: bytes) -> Path:
    """A file in a folder of its own, written anew each time; the time stamp tells versions apart."""
    if name not in FILES:
        FILES[name] = factory.mktemp("fuzz") / name
    file = FILES[name]
    file.write_bytes(content)
    os.utime(file, ns=(time.time_ns(), time.time_ns()))
    return file
