"""A network against itself is an A/A run; one that differs in anything that is measured is not."""

import pytest

from esr.config.schema import CheckpointConf, ModelConf, TileConf
from esr.evaluation.record import same_network
from esr.evaluation.subject import Subject
from esr.records.network import Weights


def subject(role="candidate", sha256="0" * 64, code="1" * 64, **model):
    weights = Weights("path", path="/w.pth", sha256=sha256, bytes=1)
    return Subject(role, role, ModelConf(_target_="net.Net", **model), weights, code)


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"name": "other", "title": "Other", "team": "red", "source": "/red/model.yaml"}, True),
        ({"checkpoint": CheckpointConf(file="w.pth")}, True),
        ({"args": {"channels": 48}}, False),
        ({"after_load": "switch_to_deploy"}, False),
        ({"tile": TileConf(size=64)}, False),
        ({"data_range": 255.0}, False),
        ({"checkpoint": CheckpointConf(file="w.pth", state_dict_under="params_ema")}, False),
        ({"sha256": "2" * 64}, False),
        ({"code": "2" * 64}, False),
    ],
)
def test_an_aa_run_is_one_network_twice_under_any_name(changes, same):
    assert same_network(subject(**changes), subject("baseline")) is same
