#!/bin/sh
# An organiser's night: submissions are checked, measured, ranked, and written up. Run it again to resume.
#
# SUBMISSIONS holds a folder per team with a model.yaml; KEY=VALUE are overrides of the evaluations, such as
# data=div2k_lsdir_test. CHALLENGE selects the rules, ntire2026 by default; networks run beside that year's baseline.
set -eu
usage="usage: sh organiser.sh SUBMISSIONS OUT [KEY=VALUE...]"
submissions=${1:?$usage} out=${2:?$usage}
shift 2
challenge=${CHALLENGE:-ntire2026}
case $challenge in
  ntire2022) baseline=imdn ;;
  ntire2023) baseline=rfdn ;;
  ntire2024) baseline=rlfn ;;
  ntire2025) baseline=efdn ;;
  *) baseline=span ;;
esac
case " $*" in
  *" baseline="*) ;;
  *) set -- "baseline=$baseline" "$@" ;;
esac
mkdir -p "$out"

# What each team must fix, before anything is measured. The others need not wait for a submission that cannot run.
esr check "$submissions"/*/ --format markdown > "$out/intake.md" || {
  [ $? -eq 1 ] || exit 2
  echo "some are not ready, see $out/intake.md" >&2
}

# Every network beside the baseline. A failure stops no other network; strangers' code runs only in a sandbox.
code=0
esr -m "model=glob($submissions/*/model.yaml)" sandbox=require "out=$out" "$@" || code=$?
[ "$code" -le 1 ] || exit "$code"

# The challenge's table, for the screen, the paper and the web.
results=$out/multirun/latest
for form in markdown latex csv html; do
  esr rank "$results" "challenge=$challenge" --format "$form" --out "$out/ranking.$form"
done
exit "$code"
