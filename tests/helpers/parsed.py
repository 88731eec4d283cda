"""Parses what every command parses: ANTLR builds its tables as it goes, and forked commands inherit them."""

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf.grammar_parser import parse

OVERRIDES = (
    "model=tiny.yaml", "data.root=images", "timing.rounds=7", "telemetry=off", "+model.args.x=1", "timing.seed=null",
    "hydra.mode=RUN", "timing.timeout_s=1.5", "model=a,b", "data.lr='a b'", "quality.save=true",
)  # fmt: skip
INTERPOLATIONS = ("${timing.rounds}", "${oc.env:HOME}", "${hydra.sweep.dir}/a/${now:%Y-%m-%d}/%j", "a${b:${c},d}")

OverridesParser.create().parse_overrides(list(OVERRIDES))
for text in INTERPOLATIONS:
    parse(text)
