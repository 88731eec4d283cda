"""The watch alone, over one pass: silent about honest networks that look odd, and not to be written around."""

import pytest
import torch
from helpers.cases import with_slow
from helpers.watched import watch
from torch.nn import functional

from esr.evaluation.verdict import PRODUCTS_SHARE

from . import networks

ODD = (
    "Honest", "TablesOfOtherTypes", "CachesATableFromNumPy", "AnotherMemoryFormat", "ReturnsViews", "WritesInPlace",
    "WeightNormalised", "FiltersInAttributes", "FixedFilters", "CachesAMask", "KeepsTensors", "HasThreadsOfItsOwn",
    "TurnsItsFilters", "FusesInEachPass", "PlacesInTables", "Pruned", "PositionsByALittleNetwork", "FiltersByContent",
    "SlicesOfWiderLayers", "BeginsWithPlaces", "HasAPoolOfItsOwn",
)  # fmt: skip
WRITTEN_AROUND = {"ShowsAnother": "rewritten", "WritesIntoFeatures": "rewritten", "FillsAnEmptyTensor": "filled"}


HIDING = (
    "WeightsFromNumPy", "WeightsInCrumbs", "WeightsInIntegerBuffers", "TwoInEachParameter", "TwoByRounding",
    "ComplexPairs", "WeightsInAListCopied", "WeightsInSlices", "WeightsFromNumbers", "WeightsFromMultiples",
    "WeightsAsScalars", "WeightsInSparseTensors", "WeightsInOpaqueTensors", "WeightsAsPlaces",
    "WeightsWithSomeOfTheInput", "WeightsWithSomeOfTheFeatures", "MatricesWithSomeOfTheFeatures",
    "WeightsBehindParameters", "OneOperator",
)  # fmt: skip
MULTIPLYING = ("WeightsAsNumbers", "WeightsAsFactorsOfSums", "MultipliesByInterpolation", "MultipliesOneByOne",
               "MultipliesByLogarithms", "MultipliesBySquares", "MultipliesByActivation",
               "MultipliesBySomeOfTheInput")  # fmt: skip


def watched(name, side=40):
    network = getattr(networks, name)().eval().requires_grad_(False)
    image = torch.rand(1, 3, side, side + 4, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        network(image.flip((-2, -1)))  # as the worker does, for what is made once for a size
    passed = watch(network, image)
    assert torch.equal(passed.replayed, passed.output)
    return passed.found


@pytest.mark.parametrize("name", ODD)
def test_an_honest_network_that_looks_odd_leaves_the_watch_silent(name):
    found = watched(name)
    assert (found.precisions, found.unknown, found.connected) == ({}, (), True)
    assert (found.hidden, found.rewritten, found.filled) == (0, 0, 0)
    assert found.products <= PRODUCTS_SHARE / 4 * found.macs
    assert (found.macs > 0, found.workspace) == (True, 0)


@pytest.mark.parametrize("name", WRITTEN_AROUND)
def test_what_is_written_around_the_watch_is_counted(name):
    assert getattr(watched(name), WRITTEN_AROUND[name]) > 0


@pytest.mark.parametrize("name", ["WorksInHeldMemory", "WorksInHiddenMemory", "WorksInItsBuffers"])
def test_memory_that_a_pass_works_in_and_does_not_allocate_is_counted(name):
    assert watched(name).workspace == 2 * 24 * 40 * 44 * 4


@pytest.mark.parametrize("name", with_slow(HIDING, {"WeightsFromMultiples"}))
def test_numbers_that_no_parameter_is_are_counted_however_large_the_image(name):
    assert watched(name, side=180).hidden >= 10_000


@pytest.mark.parametrize("name", MULTIPLYING)
def test_products_with_numbers_are_counted(name):
    assert watched(name).products >= 48 * 27 * 40 * 44


def test_entries_of_tables_chosen_by_content_are_no_products():
    found = watched("LooksUpTables")
    assert (found.products, found.hidden, found.connected) == (0, 0, True)


def test_what_an_operator_written_in_python_multiplies_is_counted():
    assert watched("OneOperator").macs == watched("Honest").macs


@pytest.mark.filterwarnings("ignore:Warning only once for all operators")
def test_a_kernel_that_a_network_exchanges_is_looked_into():
    weight = torch.randn(24, 24, 3, 3)
    with torch.library._scoped_library("aten", "IMPL") as library:
        library.impl("relu", lambda x: functional.conv2d(x.clamp(min=0), weight, padding=1), "CPU")
        found = watched("Honest")
    assert (found.macs > watched("Honest").macs, found.hidden) == (True, weight.numel())


def test_work_in_a_pool_is_counted_once():
    assert watched("HasAPoolOfItsOwn").macs == watched("Honest").macs
