#!/bin/sh
# Builds the image of this checkout.   usage: sh docker/build.sh VARIANT [OPTION OF THE BUILD...]
#
# From the environment, all optional:
#   ENGINE      docker or podman, with options of its own
#   TAG         name of the image; by default esr for cu126, esr:VARIANT for another
#   BASE_IMAGE  another base than the variant's
#   VERSION     the image's version; by default that of the tag
#   WEIGHTS     published: they are fetched into the image
#   PIP_CONF    a pip.conf for the build: an index of yours, or where torch's CPU build lies
#   CA          the certificates of a network that has its own
set -eu
cd "$(dirname "$0")/.."
wrong() { echo "build.sh: $1" >&2; exit 2; }
variant=${1:-}
[ -f "docker/torch-$variant.in" ] || wrong "'$variant' is no variant: no docker/torch-$variant.in; known are cu126 and cpu"
[ -f "docker/requirements-$variant.txt" ] || wrong "docker/requirements-$variant.txt is missing: make lock"
: "${ENGINE:=docker}"
command -v "${ENGINE%% *}" > /dev/null 2>&1 || wrong "${ENGINE%% *} is not here: install docker or podman, or say ENGINE=…"
shift
tag=esr
[ "$variant" = cu126 ] || tag=esr:$variant
case $variant in
  # Debian 12: the lock knows torch's CPU build for Python 3.11. Debian's archive has no snapshots that apt knows of.
  cpu) cuda=none base=docker.io/library/debian:bookworm-20250520-slim; set -- --build-arg APT_SNAPSHOT= "$@" ;;
  # cu126 is CUDA 12.6
  *) digits=${variant#cu} base=; cuda=${digits%?}.${digits#"${digits%?}"} ;;
esac
base=${BASE_IMAGE:-$base}
torch=$(sed 's/torch==//; s/+.*//' "docker/torch-$variant.in")
# The tag's version, v0.1.0; past it with the number of commits and the commit, without a tag the commit alone.
version=${VERSION:-$(git describe --tags --always --match 'v[0-9]*' 2>/dev/null \
  | sed -E 's/^v//; s/-([0-9]+)-g/.post\1+g/; s/^([0-9a-f]+)$/0+g\1/')}
# The same two facts as in every record, and the time that all files of the image bear.
commit=$(git describe --always --abbrev=40 --exclude='*' --dirty 2>/dev/null || echo unknown)
epoch=$(git log -1 --format=%ct 2>/dev/null || echo 0)
case $ENGINE in
  podman*) set -- --timestamp "$epoch" "$@" ;;
  *) export SOURCE_DATE_EPOCH="$epoch" ;;
esac

set -x
# ENGINE may bring options, so it is split.
# shellcheck disable=SC2086
exec $ENGINE build --tag "${TAG:-$tag}" \
  --build-arg VARIANT="$variant" --build-arg TORCH="$torch" --build-arg CUDA="$cuda" \
  --build-arg VERSION="${version:-0+unknown}" --build-arg COMMIT="$commit" --build-arg WEIGHTS="${WEIGHTS:-bundled}" \
  ${base:+--build-arg BASE_IMAGE="$base"} \
  ${PIP_CONF:+--secret id=pip,src="$PIP_CONF"} ${CA:+--secret id=ca,src="$CA"} \
  "$@" .
