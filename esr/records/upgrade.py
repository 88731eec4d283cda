"""Records of earlier formats, upgraded while they are read: each step knows one change of the format.

Version 1 knew neither processes, precision, telemetry nor result cache keys; what it lacks is `None`, empty or neutral.
Version 2 had other names for `cache_key`, `role`, `worker`, `runtime_ms`, `memory_mib` and `altered`.
"""

from typing import Any

from esr.config.terms import ROLES

OLDEST = 1


def upgraded(document: Any, version: int) -> Any:
    """A record of an earlier version, as plain JSON types, changed in place to the current one.

    Raises:
        ArithmeticError, LookupError, TypeError, ValueError, AttributeError: It is not what its version says.
    """
    if version == OLDEST:
        _from_1(document)
    _from_2(document)
    return document


def _from_1(old: Any) -> None:
    old["telemetry"] = {"enabled": False}
    old["pictures"] = {"comparison": None, "images": []}
    timing = old["timing"]
    timing |= {"ratio_plain": None, "spread": None, "precision": None, "processes": []}
    timing["process_of_round"] = [0] * len(timing["ratio_per_round"])
    for reason in old["verdict"]["reasons"]:
        reason["severity"] = "taint"
    for role in ROLES:
        _network_from_1(old["networks"][role])


def _network_from_1(network: Any) -> None:
    network |= {"precisions": {}, "switches_changed": {}}
    if runtime := network["runtime"]:
        runtime["cpus"] = None
    if timing := network["timing"]:
        samples = timing["samples"]
        passes = len(samples["ms"])
        samples |= {"new": [False] * passes, "outlier": [False] * passes}
        timing |= {"ms_per_image_plain": sum(samples["ms"]) / passes, "outliers": 0}
        for block in timing["blocks"]:
            block |= {"process": 0, "reasons": [], "replaced": False}
        for shape in timing["warmup"]:
            shape["process"] = 0


def _from_2(old: Any) -> None:
    old["version"] = 3
    old["cache_key"] = old.pop("identity", None)  # the first records of version 2 had none
    for role in ROLES:
        _network_from_2(old["networks"][role])
    for reason in old["verdict"]["reasons"]:
        reason["role"] = reason.pop("network")
    telemetry = old["telemetry"]
    telemetry.pop("thresholds", None)  # they are part of the configuration
    if telemetry.get("gpu"):
        telemetry["gpu"]["mig"] = None
    if telemetry.get("host"):
        telemetry["host"] = telemetry["host"]["sampling"]
    for window in telemetry.get("windows", ()):
        window["block"], window["role"] = window.pop("number"), window.pop("group")


def _network_from_2(network: Any) -> None:
    network["worker"] = network.pop("runtime") or None
    _card_from_2(network["card"])
    if memory := network["memory"]:
        memory["memory_mib"] = memory.pop("mib")
    complexity = network["complexity"]
    if complexity and "unavailable" in complexity:
        network["uncounted"], network["complexity"] = complexity["unavailable"], None
    elif complexity:
        complexity["live_memory"].pop("total")
    if timing := network["timing"]:
        timing["runtime_ms"] = timing.pop("ms_per_image")
        timing["runtime_ms_plain"] = timing.pop("ms_per_image_plain")
        timing["median_ms"] = [image["median_ms"] for image in timing.pop("images")]
        timing["passes"] = len(timing["samples"]["ms"])
        timing["samples"] |= {"altered": timing["samples"].pop("new"), "enqueue_ms": None, "parent_ms": None}


def _card_from_2(card: Any) -> None:
    published = card["published"] = card["published"] or None
    if published is None:
        return
    sets = {"div2k_valid": published.pop("psnr_valid", None), "div2k_test": published.pop("psnr_test", None)}
    published["psnr_rgb"] = {name: value for name, value in sets.items() if value is not None}
    published["runtime_ms"] = published.pop("time_ms", None)
    if ranks := published.pop("ranks", None):
        published["ranks"] = {"runtime" if name == "time" else name: rank for name, rank in ranks.items()}
