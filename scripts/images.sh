#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: scripts/images.sh [--base NAME] [--no-cache] [cpu|tools]...
# Builds the container images rlxd:cpu and rlxd:tools (both by default) from the commit that is checked out, and says
# how large they are and what fills them. Needs no registry: without --base the base image is made by mmdebstrap from
# Debian's mirror, the one that it takes by itself. Packages: docker.io mmdebstrap.
source "$(dirname "$0")/common.sh"
source scripts/docker.sh

base= cache=() images=()
while (($#)); do
  case $1 in
    --base) base=${2:?--base needs a name}; shift 2 ;;
    --no-cache) cache=(--no-cache); shift ;;
    cpu | tools) images+=("$1"); shift ;;
    *) usage 3 6 "$1" ;;
  esac
done
((${#images[@]})) || images=(cpu tools)
limit_mb=280 # of the cpu image beyond its base

revision=$(git rev-parse HEAD)
epoch=$(git log -1 --format=%ct)
created=$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ)
version=$(sed -n 's/^project(rlxd VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)+${revision:0:12}
[[ -z $(git status --porcelain) ]] || say "the working tree differs from the commit; the images are the commit's"

# A minimal Debian as an image, made once. It has none of what docker/finish.sh removes and all that a build mounts files
# over: a layer above it then holds no time of its own making.
make_base() {
  base=rlxd-base:bookworm
  docker image inspect "$base" >/dev/null 2>&1 && return
  command -v mmdebstrap >/dev/null || fail "mmdebstrap is missing: apt-get install mmdebstrap"
  say "base image $base by mmdebstrap"
  # sorted, and with the commit's time: mmdebstrap does both for SOURCE_DATE_EPOCH
  SOURCE_DATE_EPOCH=$epoch mmdebstrap --quiet --variant=minbase --components=main \
    --customize-hook='cd "$1" && rm -rf usr/share/doc/*/changelog* usr/share/man usr/share/locale var/lib/apt/lists/* var/cache/apt/* \
      var/cache/debconf/* var/cache/ldconfig/* var/log/* var/lib/dpkg/*-old' \
    --customize-hook='touch "$1"/etc/resolv.conf "$1"/etc/hosts "$1"/etc/hostname' \
    bookworm - | docker import - "$base" >/dev/null
}

build() {
  say "rlxd:$1"
  local log
  log=$(mktemp /tmp/rlxd-image.XXXXXX)
  git archive --format=tar "$revision" | DOCKER_BUILDKIT=1 docker build --progress plain "${cache[@]}" --network host \
    --build-arg BASE="$base" --build-arg SOURCE_DATE_EPOCH="$epoch" --build-arg REVISION="$revision" \
    --build-arg VERSION="$version" --build-arg CREATED="$created" --target "$1" --tag "rlxd:$1" --file docker/Dockerfile - \
    >"$log" 2>&1 || { tail -n 40 "$log" >&2; fail "rlxd:$1 was not built: $log"; }
  rm "$log"
}

bytes_of() { docker image inspect --format '{{.Size}}' "$1"; }
installed() { docker run --rm --network none --entrypoint dpkg-query "$1" -W -f '${Package} ${Installed-Size}\n' | sort; }

report() {
  local image=rlxd:$1 beyond
  beyond=$((($(bytes_of "$image") - $(bytes_of "$base")) / 1000000))
  say "$image: $beyond MB beyond its base of $(($(bytes_of "$base") / 1000000)) MB"
  join -v 2 <(installed "$base") <(installed "$image") | sort -k2,2nr |
    awk '{printf "%9.1f MB  %s\n", $2 * 1024 / 1e6, $1}' | head -n 12
  docker image inspect --format '{{range .RootFS.Layers}}   layer  {{.}}{{"\n"}}{{end}}' "$image"
  [[ $1 != cpu ]] || ((beyond <= limit_mb)) || fail "$image is larger than $limit_mb MB beyond its base"
}

say "commit ${revision:0:12} of $created"
need_docker
[[ -n $base ]] || make_base
for image in "${images[@]}"; do build "$image"; done
for image in "${images[@]}"; do report "$image"; done
