#!/bin/sh
# Renews the locks of the image, for each docker/torch-VARIANT.in, and of the documentation's builder, with hashes.   usage: sh docker/lock.sh [UV]
#
# PIP_FIND_LINKS (a folder) and UV_EXTRA_INDEX_URL say where torch's CPU build comes from, which PyPI does not have.
# Python 3.11 is the oldest that the locks are good for: Debian 12's, on which the CPU variant stands.
set -eu
cd "$(dirname "$0")/.."
uv=${1:-uv}

lock() {  # OUTPUT SOURCE [OPTION...]
  output=$1
  shift
  "$uv" pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
    --index-strategy unsafe-best-match ${PIP_FIND_LINKS:+--find-links "$PIP_FIND_LINKS"} --output-file "$output" "$@"
  sed -i "1i # ${title:-What the image is made of}; renewed by \`make lock\`." "$output"
}

lock docker/requirements-build.txt docker/build.in
for wanted in docker/torch-*.in; do
  variant=${wanted#docker/torch-}
  lock "docker/requirements-${variant%.in}.txt" pyproject.toml --override "$wanted"
done
title='What `make docs` installs' lock docs/site/requirements.txt docs/site/requirements.in
