"""esr measures efficient super-resolution networks, paired against a baseline.

  esr model=imdn                                  one network on the demo images
  esr model=rlfn data=set5 data.root=DIR          on your copy of Set5
  esr model=my_network.yaml timing.rounds=20      your own network
  esr -m model=imdn,rfdn,rlfn                     several, one after the other
  esr -m 'model=glob(*)'                          all; those with a record are skipped
  esr model=rlfn cudnn.benchmark=true device=cuda
  esr -m model=repo repo=~/NTIRE2026_ESR id=all   every network of a challenge's repository

Subcommands (esr COMMAND --help says more):
  check DIR…         check submissions before a measurement: what each team must fix
  doctor [out=DIR]   check this machine or container: problems with remedies
  compare A B        compare records: of one network, or of different ones: which is faster
  config [KEY]       explain a configuration key: meaning, unit, default
  rerun RECORD       measure a record's networks again; do both runs agree?
  rank RESULTS…      rank records, in files or folders, in the challenge's table
  fetch NAME…        download and check published weights and data sets
  repo list DIR      list the networks of a challenge's repository
  show [NAME]        list the networks; show one network's card and layers, or a record again
  export KEY=VALUE…  write a network as ONNX, TorchScript or safetensors
  train KEY=VALUE…   train a network on a folder of images

Groups, selected by GROUP=OPTION:
  GROUPS

Values, set by KEY=VALUE; esr config KEY explains each, esr model=NAME --cfg job prints them all:
  weights=auto|published|bundled|random|PATH      timing.rounds=10        device.threads=4
  quality.save=none|crops|images                  timing.precision=0.005  device.cpus=0-1
  complexity.height=256 complexity.width=256      timing.max_seconds=60   lock=wait|fail
  timing.processes=3                              timing.timeout_s=600    out=DIR
  hydra/launcher=sequential|slurm|submitit_local  force=true (with -m: measure again what has a record)

Quotes:
  a path may hold any character, as long as the shell passes it on as one word: 'data.root=my images, x4=HR'
  other values with commas, brackets or equals signs take a second pair: "model.args.mode='a,b'"

Hydra's own options:
  --cfg job, --info, -m (multirun), --config-dir DIR, --hydra-help; esr model=NAME --help shows the composed values
  tab completion in bash: eval "$(esr -sc install=bash)"

Output:
  -v                 every figure and every note; esr show RECORD -v prints them later
  --format json      for other programs, as with every command that prints a result
  --version          the version of esr
"""

import textwrap
from pathlib import Path

import esr.conf
from esr.config.cards import OPTION_GROUPS, model_names

WIDTH = 100


def help_text() -> str:
    """The complete text."""
    # Hydra's own help would take a second to compose the configuration first.
    lines = "\n".join(_group(name, options) for name, options in groups().items())
    return (__doc__ or "").replace("  GROUPS", lines)


def groups() -> dict[str, list[str]]:
    """Each configuration group with its options; the networks in the challenge's order."""
    root = Path(esr.conf.__file__).parent
    found = {group: sorted(file.stem for file in (root / group).glob("*.yaml")) for group in OPTION_GROUPS}
    return {"model": [*model_names(), "or PATH.yaml"], "baseline": ["as model"], **found}


def _group(name: str, options: list[str]) -> str:
    return textwrap.fill(
        " ".join(options), WIDTH, initial_indent=f"  {name:10}", subsequent_indent=" " * 12, break_on_hyphens=False
    )
