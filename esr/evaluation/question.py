"""A network in a worker of its own, for commands that ask something of it without measuring."""

from collections.abc import Iterator
from contextlib import contextmanager

from esr.config.schema import EsrConf, ModelConf
from esr.errors import NetworkError
from esr.evaluation import containment
from esr.evaluation.steps import load_request
from esr.evaluation.worker.messages import LoadRequest, OpenRequest
from esr.evaluation.worker.parent import Worker, WorkerFailure
from esr.records.network import Weights
from esr.zoo.environments import packages_of


@contextmanager
def opened(model: ModelConf, weights: Weights) -> Iterator[tuple[Worker, LoadRequest]]:
    """A worker with the CPU open, in a sandbox, and the request that loads the network.

    Raises:
        EsrError: The network or its weights are at fault, inside the block, too.
    """
    settings = EsrConf()
    settings.device.kind = "cpu"
    request = load_request(model, weights)
    try:
        with Worker(settings.timing.timeout_s, containment.for_question(model), packages_of(model)) as worker:
            worker.ask(OpenRequest(settings.device, settings.cudnn))
            yield worker, request
            worker.confirm_sandbox()
    except WorkerFailure as error:
        raise NetworkError(f"_target_={model._target_}: {error.failure.message}") from error
