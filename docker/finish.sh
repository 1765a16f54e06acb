#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Usage: finish.sh cpu|tools EPOCH VERSION     (in docker/Dockerfile, with the build stage's /out mounted at /mnt)
# Makes the one layer that an image has above its base: packages, what was built, an SBOM. Caches and logs go, and
# whatever is newer than EPOCH gets that time.
set -eu
export DEBIAN_FRONTEND=noninteractive
image=$1 epoch=$2 version=$3

case $image in
  cpu) packages=$(cat /mnt/packages) ;;
  tools) packages="redis-server nginx-light prometheus" ;;
esac
apt-get update -qq
# shellcheck disable=SC2086  # a list
apt-get install -y -qq --no-install-recommends $packages >/dev/null

echo 'rlxd:x:65532:65532:rlxd:/nonexistent:/usr/sbin/nologin' >>/etc/passwd
echo 'rlxd:x:65532:' >>/etc/group
if [ "$image" = cpu ]; then
  cp -a /mnt/root/. /
  chown -R 0:0 /opt/rlxd /etc/rlxd
  mkdir -p /var/lib/rlxd /opt/rlxd/share
  chmod 0700 /var/lib/rlxd
  chown 65532:65532 /var/lib/rlxd
  /mnt/sbom.sh rlxd "$version" "$epoch" >/opt/rlxd/share/sbom.spdx.json
fi

rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/cache/ldconfig/* /var/log/* /tmp/* /var/tmp/* \
  /var/lib/dpkg/*-old /usr/share/doc/*/changelog* /usr/share/man /usr/share/locale
find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /mnt -o -path /etc/resolv.conf -o -path /etc/hosts -o -path /etc/hostname \) \
  -prune -o -newermt "@$epoch" -exec touch --no-dereference --date "@$epoch" {} +
