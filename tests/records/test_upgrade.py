"""Records of earlier versions, measured by the `esr` of their time, are read as today's.

`data/version1.json` and `data/version2.json` were written by commits 8d3b3d6 and dab9ff2; only paths and the
description of torch's build were shortened. `data/telemetry2.json` is what dab9ff2 recorded of a simulated GPU.
"""

import json

import pytest
from helpers import rankings

from esr.errors import RecordError
from esr.ranking.collection import collect
from esr.records.document import VERSION
from esr.records.files import decode, load_record


def old(data, version):
    return json.loads((data / f"version{version}.json").read_text())


@pytest.mark.parametrize("version", [1, 2])
def test_every_figure_of_an_old_record_is_kept(data, version):
    before = old(data, version)
    record = load_record(data / f"version{version}.json")
    assert record.document.version == VERSION
    assert record.ratio.value == before["timing"]["ratio"]["value"]
    assert list(record.document.timing.ratio_per_round) == before["timing"]["ratio_per_round"]
    for role in ("candidate", "baseline"):
        network, was = record.document.networks.of(role), before["networks"][role]
        assert network.timing.runtime_ms.value == was["timing"]["ms_per_image"]["value"]
        assert list(network.timing.median_ms) == [image["median_ms"] for image in was["timing"]["images"]]
        assert list(network.timing.load_samples().ms) == was["timing"]["samples"]["ms"]
        assert len(network.timing.load_blocks()) == len(was["timing"]["blocks"])
        assert network.timing.load_warmup()[0].ms == tuple(was["timing"]["warmup"][0]["ms"])
        assert network.memory.memory_mib == was["memory"]["mib"]
        assert network.complexity.macs == was["complexity"]["macs"]
        assert network.complexity.live_memory.total == was["complexity"]["live_memory"]["total"]
        assert network.worker.torch == was["runtime"]["torch"]
    assert record.document.load_config() == before["config"]
    assert [image.name for image in record.document.data.load_images()] == ["0", "1", "2"]


def test_version_1_lacks_what_came_later(data):
    document = load_record(data / "version1.json").document
    assert document.cache_key is None
    assert document.timing.ratio_plain is document.timing.spread is document.timing.precision is None
    assert document.timing.process_of_round == (0, 0, 0)
    assert document.telemetry.enabled is False
    assert document.networks.candidate.worker.cpus is None
    assert not any(document.networks.candidate.timing.load_samples().altered)


def test_version_2_is_complete(data):
    before = old(data, 2)
    document = load_record(data / "version2.json").document
    assert document.cache_key == before["identity"]
    assert document.timing.ratio_plain.value == before["timing"]["ratio_plain"]["value"]
    assert document.telemetry.host.samples == before["telemetry"]["host"]["sampling"]["samples"]
    windows = document.telemetry.load_windows()
    assert [(one.block, one.role) for one in windows] == [
        (one["number"], one["group"]) for one in before["telemetry"]["windows"]
    ]
    samples = document.networks.candidate.timing.load_samples()
    assert list(samples.altered) == before["networks"]["candidate"]["timing"]["samples"]["new"]
    assert samples.enqueue_ms is None


def test_a_watched_gpu_is_kept(data):
    before = old(data, 2)
    before["telemetry"] = was = json.loads((data / "telemetry2.json").read_text())
    telemetry = decode(json.dumps(before).encode()).telemetry
    assert telemetry.gpu.before.name == was["gpu"]["before"]["name"]
    assert telemetry.gpu.mig is None
    assert telemetry.gpu.errors["ecc"].code == was["gpu"]["errors"]["ecc"]["code"]
    assert telemetry.run.gpu_power_w.max == was["run"]["gpu_power_w"]["max"]
    assert telemetry.run.reason_names == ("hw_slowdown",)
    assert [one.gpu_sm_mhz.median for one in telemetry.load_windows()] == [1582] * 4


def test_a_published_row_and_reasons_are_renamed(data):
    before = old(data, 2)
    before["networks"]["candidate"]["card"]["published"] = {
        "psnr_valid": 29.0,
        "psnr_test": None,
        "time_ms": 50.86,
        "ranks": {"main": 3, "time": 4},
    }
    before["networks"]["candidate"]["complexity"] = {"unavailable": "no shape fits"}
    before["verdict"]["reasons"] = [{"reason": "host_load", "severity": "taint", "network": "baseline", "detail": "x"}]
    document = decode(json.dumps(before).encode())
    published = document.networks.candidate.card.published
    assert (published.psnr_rgb, published.runtime_ms) == ({"div2k_valid": 29.0}, 50.86)
    assert (published.ranks.main, published.ranks.runtime, published.ranks.flops) == (3, 4, None)
    assert document.verdict.reasons[0].role == "baseline"
    assert document.networks.candidate.uncounted == "no shape fits"
    assert document.networks.candidate.complexity is None


def test_a_failed_record_is_upgraded(data):
    before = old(data, 2)
    before["networks"]["candidate"] |= {
        "failure": {"stage": "open", "kind": "crashed", "message": "x"},
        "runtime": {},
        "quality": None,
        "complexity": None,
        "memory": None,
        "timing": None,
    }
    document = decode(json.dumps(before).encode())
    assert document.networks.candidate.worker is None


def test_the_first_records_of_version_2_had_no_cache_key(data):
    before = old(data, 2)
    del before["identity"]
    assert decode(json.dumps(before).encode()).cache_key is None


@pytest.mark.parametrize("version", [1, 2])
def test_old_records_are_ranked(data, version):
    (one,) = collect([data / f"version{version}.json"]).kept
    assert one.entry.figures.ratio == old(data, version)["timing"]["ratio"]["value"]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("key", ["networks", "timing", "verdict", "environment", "data"])
@pytest.mark.parametrize("value", [None, [], {}, 7, "x"])
def test_an_old_record_that_is_damaged_is_refused(data, version, key, value):
    before = old(data, version)
    before[key] = value
    with pytest.raises(RecordError, match=f"version {version}"):
        decode(json.dumps(before).encode())


def test_a_later_version_is_refused():
    made = rankings.document() | {"version": VERSION + 1}
    with pytest.raises(RecordError, match="update esr"):
        decode(json.dumps(made).encode())
