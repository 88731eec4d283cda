"""Records of earlier formats, upgraded while they are read: each step knows one change of the format.

Version 2 had other names for `cache_key`, `role`, `worker`, `runtime_ms`, `memory_mib` and `altered`.
"""

from typing import Any

import msgspec

Plain = dict[str, Any]


def upgraded(raw: bytes, version: int) -> bytes:
    """A record of version 2, encoded anew as version 3.

    Raises:
        msgspec.DecodeError, KeyError, TypeError, AttributeError: It is not what its version says.
    """
    document = msgspec.json.decode(raw)
    for step in _STEPS[version:]:
        if step is not None:
            document = step(document)
    return msgspec.json.encode(document)


def _from_2(old: Plain) -> Plain:
    old["version"] = 3
    old["cache_key"] = old.pop("identity")
    for role in ("candidate", "baseline"):
        _network(old["networks"][role])
    for reason in old["verdict"]["reasons"]:
        reason["role"] = reason.pop("network")
    _telemetry(old["telemetry"])
    return old


def _network(network: Plain) -> None:
    network["worker"] = network.pop("runtime") or None
    _card(network["card"])
    if memory := network["memory"]:
        memory["memory_mib"] = memory.pop("mib")
    complexity = network["complexity"]
    if complexity and "unavailable" in complexity:
        network["uncounted"], network["complexity"] = complexity["unavailable"], None
    elif complexity and complexity.get("live_memory"):
        complexity["live_memory"].pop("total", None)
    if timing := network["timing"]:
        timing["runtime_ms"] = timing.pop("ms_per_image")
        timing["runtime_ms_plain"] = timing.pop("ms_per_image_plain")
        timing["median_ms"] = [image["median_ms"] for image in timing.pop("images")]
        timing["passes"] = len(timing["samples"]["ms"])
        timing["samples"]["altered"] = timing["samples"].pop("new")


def _card(card: Plain) -> None:
    published = card["published"] or None
    card["published"] = published
    if published is None:
        return
    sets = {"div2k_valid": published.pop("psnr_valid", None), "div2k_test": published.pop("psnr_test", None)}
    published["psnr_rgb"] = {name: value for name, value in sets.items() if value is not None}
    published["runtime_ms"] = published.pop("time_ms", None)
    if ranks := published.get("ranks"):
        ranks["runtime"] = ranks.pop("time", None)
    else:
        published.pop("ranks", None)


def _telemetry(telemetry: Plain) -> None:
    telemetry.pop("thresholds", None)
    if host := telemetry.get("host"):
        telemetry["host"] = host["sampling"]
    for window in telemetry.get("windows", ()):
        window["block"] = window.pop("number")
        window["role"] = window.pop("group")


_STEPS = (None, None, _from_2)
"""By the version that a step reads."""
