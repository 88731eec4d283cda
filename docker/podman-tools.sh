#!/bin/sh
# Whether the image can be built and run here by podman; installs what is missing where that is possible.
# Ends with 1 and the reason where it is not.
set -u
missing() {
  for tool in podman runc debootstrap; do command -v "$tool" > /dev/null 2>&1 || return 0; done
  return 1
}
no() { echo "test-image: $1" >&2; exit 1; }

[ "$(uname -s)" = Linux ] || no "podman without a virtual machine needs Linux"
[ "$(id -u)" = 0 ] || no "debootstrap and podman's chroot isolation need root"
unshare --mount true 2> /dev/null || no "this root may not mount anything, as in a container without privileges"
if missing; then
  command -v apt-get > /dev/null 2>&1 || no "podman, runc and debootstrap are not all here, and there is no apt-get"
  echo "test-image: installing podman, buildah, runc and debootstrap"
  DEBIAN_FRONTEND=noninteractive timeout 300 sh -c "apt-get update -q \
    && apt-get install -y -q --no-install-recommends podman buildah runc debootstrap" > /dev/null 2>&1 < /dev/null
  ! missing || no "podman, runc and debootstrap could not be installed"
fi
