"""The command line as a user meets it: help, mistakes, Hydra's habits, exit codes."""

import subprocess
import sys

import pytest
from helpers.participants import ONCE, SMALL

from esr.config.cards import model_names

TORCHLESS = """
import sys
sys.argv = ["esr", *{arguments!r}]
from esr.cli.command import main
try:
    main()
except SystemExit as end:
    code = end.code
assert "torch" not in sys.modules, "torch was imported"
sys.exit(code)
"""


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["show", "--help"], ["show"], ["--version"], ["model=imdm"], ["model=imdn", "--cfg", "job"]],
)
def test_what_needs_no_network_does_not_import_torch(arguments, tmp_path):
    program = TORCHLESS.format(arguments=arguments)
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "torch was imported" not in run.stderr
    assert run.returncode in (0, 2), run.stderr


@pytest.mark.parametrize("command", ["compare", "doctor", "export", "fetch", "rank", "show", "train"])
def test_the_help_of_a_command_waits_for_no_numerical_library(command):
    program = TORCHLESS.format(arguments=[command, "--help"]).replace('"torch"', '"numpy"')
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


def test_the_package_runs_as_the_command():
    done = {
        words: subprocess.run([sys.executable, "-m", "esr", *words], capture_output=True, text=True, check=False)
        for words in (("--version",), ("shw",))
    }
    assert done[("--version",)].stdout.startswith("esr ")
    assert done[("shw",)].returncode == 2
    assert "did you mean show" in done[("shw",)].stderr


def test_importing_esr_does_not_import_torch():
    program = "import esr, sys; esr.list_models(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_help_names_every_group_and_every_network(run_esr):
    run = run_esr("--help")
    assert run.code == 0
    for word in (
        "model",
        "baseline",
        "data",
        "timing",
        "device",
        "cudnn",
        "set5",
        "ntire2022",
        *model_names(),
    ):
        assert word in run.out


def test_hydras_help_shows_the_composed_configuration(run_esr):
    run = run_esr("model=rlfn", "--help")
    assert run.code == 0
    assert "_target_: esr.models.rlfn.RLFN" in run.out


def test_cfg_job_prints_the_configuration_and_measures_nothing(run_esr):
    run = run_esr("model=rlfn", "timing.rounds=20", "--cfg", "job")
    assert run.code == 0
    assert "rounds: 20" in run.out
    assert not run.records


def test_info_says_where_configuration_comes_from(run_esr):
    run = run_esr("model=imdn", "--info", "searchpath")
    assert run.code == 0
    assert "pkg://esr.conf" in run.out


def test_tab_completion_offers_networks(run_esr):
    run = run_esr("-sc", "query=bash", env={"COMP_LINE": "esr model=im", "COMP_POINT": "12"})
    assert run.code == 0
    assert "model=imdn" in run.out.split()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["esr model=NAME"]),
        (["imdn"], ["no such command", "esr model=imdn"]),
        (["shw"], ["no such command", "did you mean show"]),
        (["model=imdm"], ["model=imdm", "did you mean imdn"]),
        (["model=IMDM"], ["model=IMDM", "did you mean imdn"]),
        (["-m", "--cfg", "job", "model=imdn"], ["--multirun --cfg", "only one"]),
        (["-m", "model=imdn,imdm"], ["model=imdm", "did you mean imdn"]),
        (["model=imdn", "timing.round=3"], ["timing.round", "timing.rounds"]),
        (["model=imdn", "--frobnicate"], ["--frobnicate", "--help"]),
        (["model=imdn", "data.root=/nowhere", "data=folder"], ["/nowhere"]),
        (["model=imdn", "weights=/nowhere.pth"], ["/nowhere.pth"]),
        (["model=imdn", "weights=published"], ["imdn_baseline.pth", "ESR_OFFLINE"]),
        (["+model._target_=nowhere.Network", "weights=random"], ["nowhere.Network", "cannot be imported"]),
        (["+model._target_=math.pi", "weights=random"], ["math.pi", "torch.nn.Module"]),
        (["+model._target_=builtins.dict", "weights=random"], ["builtins.dict", "torch.nn.Module"]),
        (["model=imdn", "+model.args.chanels=3", "weights=random"], ["chanels", "channels"]),
        (["model=imdn", "weights=random", "device=cuda"], ["device=cuda", "device=cpu"]),
        (["show", "imdm"], ["imdm", "did you mean imdn"]),
        (["show", "imdn", "--height", "0"], ["--height", "1 to 100,000"]),
    ],
)
def test_a_mistake_ends_in_one_line_and_exit_code_2(run_esr, arguments, words):
    more = ["baseline_weights=random"] if "=" in " ".join(arguments) else []
    run = run_esr(*arguments, *more)
    assert run.code == 2
    message = [line for line in run.err.splitlines() if line.startswith("esr: ")]
    assert len(message) == 1, run.err
    assert "Traceback" not in run.err
    for word in words:
        assert word in message[0]
    assert not run.records


def test_an_evaluation_prints_its_table_and_says_where_the_record_lies(run_esr, participant):
    run = run_esr(*SMALL, *ONCE, "data.limit=1", cwd=participant)
    assert run.code == 0, run.err
    for row in ("runtime [ms]", "ratio to baseline", "params", "FLOPs", "MACs", "activations", "peak memory"):
        assert row in run.out
    assert len(run.records) == 1
    again = run_esr("show", str(run.records[0].parent), cwd=participant)
    for row in ("SSIM", "PSNR luma", "convolutions", "tensor memory", "ratio of total times"):
        assert row in again.out
    assert str(run.records[0].relative_to(participant)) in run.out
    assert "random weights: quality is not meaningful" in run.out


def test_results_go_below_the_folder_that_out_names(run_esr, participant, tmp_path):
    run = run_esr(*SMALL, *ONCE, "data.limit=1", f"out={tmp_path}/elsewhere", cwd=participant)
    assert run.code == 0, run.err
    assert run.records[0].is_relative_to(tmp_path / "elsewhere")


def test_show_prints_the_card_and_the_layers_without_weights(run_esr):
    run = run_esr("show", "rlfn", "--height", "64", "--width", "64")
    assert run.code == 0, run.err
    for text in ("ByteESR", "317,218", "head", "upsampler", "1×3×64×64"):
        assert text in run.out


def test_show_lists_every_network_with_its_published_figures(run_esr):
    run = run_esr("show")
    assert run.code == 0
    assert all(name in run.out for name in model_names())
    assert "27.11" in run.out


def test_show_takes_a_participants_yaml(run_esr, participant):
    run = run_esr("show", "tiny.yaml", cwd=participant)
    assert run.code == 0, run.err
    assert "features" in run.out
