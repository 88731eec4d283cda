#!/bin/sh
# An organiser's night: submissions are checked, measured, ranked, and written up. Run again, it goes on where it stopped.
# usage: sh organiser.sh SUBMISSIONS OUT [KEY=VALUE...]
#
# SUBMISSIONS holds a folder per team with a model.yaml; KEY=VALUE are overrides of the evaluations, as
# data=div2k_lsdir_test baseline=span. CHALLENGE selects the rules, ntire2026 by default.
set -eu
submissions=$1 out=$2
shift 2
mkdir -p "$out"

# Before anything is measured: what each team must fix. Nobody waits for a submission that cannot run.
esr check "$submissions"/*/ --format markdown > "$out/intake.md" || echo "some are not ready, see $out/intake.md" >&2

# Every network beside the baseline. One that fails stops no other; strangers' code runs only if it is contained.
code=0
esr -m "model=glob($submissions/*/model.yaml)" sandbox=require "out=$out" "$@" || code=$?
[ "$code" -le 1 ] || exit "$code"

# The challenge's table, for the screen, the paper and the web.
results=$out/multirun/latest
for form in markdown latex csv html; do
  esr rank "$results" "challenge=${CHALLENGE:-ntire2026}" --format "$form" --out "$out/ranking.$form"
done
exit "$code"
