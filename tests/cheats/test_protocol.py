"""Each kind of trick gets its reason, or gains nothing; honest networks stay clean."""

import hashlib

import pytest

from esr.config.schema import DataConf
from esr.config.terms import ROLES
from esr.data.datasets import load_dataset

from .conftest import reasons

CAUGHT = {
    "RemembersShapes": {"outputs_differ"},
    "RemembersUpToTheFamily": {"outputs_differ"},
    "CombinesWhatItRemembers": {"outputs_differ"},
    "LessAfterAWhile": {"outputs_differ"},
    "EverySecond": {"outputs_differ"},
    "HalfOfTheImage": {"outputs_differ"},
    "Zeros": {"outputs_differ", "quality_differs"},
    "WorksOnInAThread": {"outputs_differ"},
    "Halves": {"precision_changed"},
    "RoundsAtTheEnd": {"precision_changed"},
    "HalvesUnwatched": {"outputs_differ"},
    "Integers": {"precision_changed"},
    "OutsideTorch": {"work_uncounted"},
    "AllOutsideTorch": {"work_uncounted"},
    "CheapOnMeta": {"work_uncounted"},
    "CheapWhereCounted": {"work_uncounted"},
    "WeightsInAList": {"parameters_uncounted"},
    "WeightsInAListCopied": {"parameters_uncounted"},
    "WeightsInSlices": {"parameters_uncounted"},
    "WeightsInBuffers": {"parameters_uncounted"},
    "ComplexPairs": {"parameters_uncounted"},
    "OutsideInPieces": {"work_uncounted"},
    "TakesTheWatchOff": {"work_uncounted"},
    "KeysByDownsample": {"outputs_differ"},
    "AddsTheDifference": {"outputs_differ"},
    "CountsInAFile": {"outputs_differ"},
    "CountsInAClosure": {"outputs_differ"},
    "ShowsAnother": {"work_uncounted"},
    "SwapsWeights": {"work_uncounted"},
    "MultipliesOneByOne": {"work_uncounted"},
    "WeightsAsNumbers": {"work_uncounted"},
    "TransformsWhereItIsReal": {"work_uncounted"},
    "WeightsFromNumPy": {"parameters_uncounted"},
    "WeightsWithSomeOfTheInput": {"parameters_uncounted"},
    "OneOperator": {"work_uncounted", "parameters_uncounted"},
    "MultipliesByBilinearForms": {"work_uncounted"},
    "TwoInEachParameter": {"parameters_uncounted"},
    "MoreWhileQualityIsMeasured": {"outputs_differ"},
    "HalvesAndSaysOtherwise": {"outputs_differ"},
    "RecordsItsAnswer": {"work_uncounted"},
    "PatchesWhatWasSampled": {"work_uncounted"},
    "CallsTheRestParameters": {"parameters_uncounted"},
    "LeavesNoTape": {"work_uncounted"},
}
LIKE_OTHERS = {
    *("RemembersUpToTheFamily", "CombinesWhatItRemembers", "EverySecond", "KeysByDownsample", "CountsInAClosure"),
    *("TransformsWhereItIsReal", "Zeros", "LessAfterAWhile", "AddsTheDifference"),
}
"""First of each pair that takes long and whose tricks others resemble."""
PAIRS = (
    ("RemembersShapes", "WeightsInSlices"),
    ("RemembersUpToTheFamily", "WeightsInBuffers"),
    ("CombinesWhatItRemembers", "ComplexPairs"),
    ("LessAfterAWhile", "CheapWhereCounted"),
    ("EverySecond", "OutsideInPieces"),
    ("HalfOfTheImage", "TakesTheWatchOff"),
    ("Zeros", "WeightsFromNumPy"),
    ("WorksOnInAThread", "SwapsWeights"),
    ("KeysByDownsample", "MultipliesOneByOne"),
    ("AddsTheDifference", "WeightsAsNumbers"),
    ("CountsInAFile", "Halves"),
    ("CountsInAClosure", "RoundsAtTheEnd"),
    ("MoreWhileQualityIsMeasured", "Integers"),
    ("HalvesUnwatched", "WeightsInAList"),
    ("TransformsWhereItIsReal", "WeightsInAListCopied"),
    ("Honest", "OutsideTorch"),
    ("AllOutsideTorch", "Honest"),
    ("CheapOnMeta", "Honest"),
    ("Honest", "WeightsWithSomeOfTheInput"),
    ("Honest", "ShowsAnother"),
    ("TwoInEachParameter", "MultipliesByBilinearForms"),
    ("OneOperator", "Honest"),
    ("HalvesAndSaysOtherwise", "RecordsItsAnswer"),
    ("PatchesWhatWasSampled", "CallsTheRestParameters"),
    ("LeavesNoTape", "Honest"),
)
"""Candidate and baseline, whose reasons are others."""
HONEST = ("RemembersPixels", "HasThreadsOfItsOwn", "KeepsTensors", "Scripted", "ReturnsViews", "FiltersByContent",
          "SlicesOfWiderLayers", "LooksUpTables", "HasAPoolOfItsOwn", "HasACompiledOperator")  # fmt: skip
RANDOM = ("Draws", "DrawsFromItsOwnSource")


def test_every_trick_is_measured():
    assert {name for pair in PAIRS for name in pair} == {*CAUGHT, "Honest"}


@pytest.mark.parametrize(
    "names",
    [pytest.param(pair, marks=pytest.mark.slow if pair[0] in LIKE_OTHERS else ()) for pair in PAIRS],
    ids="+".join,
)
def test_a_trick_has_its_reason_and_its_partner_none_of_it(judge, names):
    record = judge(*names)
    for role, name, other in zip(ROLES, names, reversed(names), strict=True):
        assert record.document.networks.of(role).failure is None
        found = reasons(record, role)
        if name == "Honest":
            assert found == {}
        else:
            assert CAUGHT[name] <= found.keys()
            # A watched pass that answers without computing has its reason, too.
            also = {"work_uncounted"} if "outputs_differ" in found else set()
            assert not (CAUGHT.get(other, set()) - also) & found.keys()
    assert record.document.verdict.status == "tainted"


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_network_is_not_suspected(judge, name):
    record = judge(name)
    assert reasons(record) == {}
    assert reasons(record, "baseline") == {}  # of the plain one
    for role in ROLES:
        check = record.document.networks.of(role).output_check
        assert (check.compared, check.differing, check.stochastic) == (8, 0, False)
        assert check.truth.passes == 8 * 3


@pytest.mark.parametrize("name", RANDOM)
def test_a_network_that_draws_random_numbers_is_named_and_no_cheat(judge, name):
    record = judge(name)
    assert reasons(record).keys() == {"stochastic"}
    assert record.document.networks.candidate.output_check.stochastic


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("KnowsTheImages", "times the input's on timed passes"),
        ("MoreForImages", "2 times the multiply-accumulates counted for its size on an image, 1 when timed"),
    ],
)
def test_a_network_that_knows_the_images_does_otherwise_on_others(judge, scene, name, words):
    data = load_dataset(DataConf(name="folder", root=str(scene / "images")))
    (scene / "digests").write_text(" ".join(hashlib.sha256(pair.lr().tobytes()).hexdigest() for pair in data.pairs))
    found = reasons(judge(name))
    assert words in found["quality_differs"]


def test_an_output_that_is_no_number_is_a_failure(judge):
    failure = judge("NotANumber").document.networks.candidate.failure
    assert failure.kind == "bad_output"
    assert "NaN" in failure.message


def test_the_challenge_s_one_pass_is_repeated_elsewhere_too(judge):
    record = judge("LessAfterAWhile", "Honest", "timing=ntire2022", "timing.rounds=1")
    assert record.document.networks.candidate.output_check.compared >= 3
    assert "outputs_differ" not in reasons(judge("Honest", "Honest", "timing=ntire2022", "timing.rounds=1"))


def test_passes_of_one_process_are_repeated_by_the_next_one_s_warm_up(judge):
    record = judge("LessAfterAWhile", "Honest", "timing.processes=2", "timing.rounds=6")
    check = record.document.networks.candidate.output_check
    assert check.compared > 6
    assert check.differing


def test_parameters_are_those_of_the_network_and_not_of_its_copy(judge):
    networks = judge("CopiesLess").document.networks
    assert networks.candidate.complexity.params == networks.baseline.complexity.params
