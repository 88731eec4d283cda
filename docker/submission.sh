#!/bin/sh
# Builds an image with one submission's packages.
# usage: sh docker/submission.sh DIR [REQUIREMENTS] [BUILD] [OPTION OF THE BUILD...]
#
#   DIR           the submission's folder
#   REQUIREMENTS  a text file of packages in it; empty: none
#   BUILD         a folder in it with an operator to be compiled; empty: none
#
# From the environment, all optional:
#   ENGINE, PIP_CONF, CA   as for docker/build.sh
#   IMAGE                  esr's image (esr)
#   COMPILERS              another build of it, on a base with the compilers that an operator needs
#   TAG                    name of the new one; by default esr-NAME, after the folder
set -eu
wrong() { echo "submission.sh: $1" >&2; exit 2; }
folder=${1:-} requirements=${2:-} build=${3:-}
[ -d "$folder" ] || wrong "'$folder' is no folder: say SUBMISSION=DIR"
[ -z "$requirements" ] || [ -f "$folder/$requirements" ] || wrong "no file $requirements in $folder"
[ -z "$build" ] || [ -d "$folder/$build" ] || wrong "no folder $build in $folder"
[ -n "$requirements$build" ] || wrong "nothing to add: say REQUIREMENTS=FILE, BUILD=FOLDER, or both"
: "${ENGINE:=docker}"
command -v "${ENGINE%% *}" > /dev/null 2>&1 || wrong "${ENGINE%% *} is not here: install docker or podman, or say ENGINE=…"
if [ $# -gt 3 ]; then shift 3; else set --; fi
name=$(basename "$(cd "$folder" && pwd)" | tr '[:upper:]' '[:lower:]' | sed 's/[^a-z0-9]/-/g; s/^-*//; s/-*$//')

set -x
# ENGINE may bring options, so it is split.
# shellcheck disable=SC2086
exec $ENGINE build --tag "${TAG:-esr-${name:-submission}}" --file "$(dirname "$0")/submission.Dockerfile" \
  --build-arg IMAGE="${IMAGE:-esr}" ${COMPILERS:+--build-arg COMPILERS="$COMPILERS"} \
  --build-arg REQUIREMENTS="$requirements" --build-arg BUILD="$build" \
  ${PIP_CONF:+--secret id=pip,src="$PIP_CONF"} ${CA:+--secret id=ca,src="$CA"} \
  "$@" "$folder"
