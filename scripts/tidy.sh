#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: scripts/tidy.sh [--all] [SECONDS]
# clang-tidy-19 (.clang-tidy) over sources of the release build. Without --all: those that differ from main
# or from the commit before, then a sample that is another one for every commit, until SECONDS
# (default 45) have passed. Says how many it read.
source "$(dirname "$0")/common.sh"

all=no
[[ ${1:-} != --all ]] || { all=yes; shift; }
seconds=${1:-45}
[[ $seconds =~ ^[0-9]+$ ]] || usage 3 6 "$1"
[[ -e build/compile_commands.json ]] || fail "no build/compile_commands.json: scripts/build.sh first"

# Without what includes OpenMP's header, which is gcc's.
built() {
  grep -oP '"file": "\K[^"]+' build/compile_commands.json | sed "s|^$PWD/||" | grep -v '^build/' | sort -u |
    grep -vFxf <(grep -l '"bench/onednn.h"' bench/*.cc)
}
changed() {
  local base
  base=$(git merge-base HEAD main 2>/dev/null || git merge-base HEAD origin/main 2>/dev/null || true)
  [[ -n $base && $base != $(git rev-parse HEAD) ]] || base=$(git rev-parse -q --verify HEAD~1 || git rev-parse HEAD)
  git diff --name-only --diff-filter=d "$base" -- '*.cc'
}
sample() { sort -R --random-source=<(yes "$(git rev-parse HEAD)"); }

mapfile -t sources < <({ [[ $all == yes ]] || changed | grep -Fxf <(built) || true; built | sample; } | awk '!seen[$0]++')
# gcc's precompiled header and warning names mean nothing to clang, and libstdc++ 12 uses what it deprecates.
tidy() {
  local output status=0
  output=$(clang-tidy-19 -p build --quiet --extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-ignored-gch \
    --extra-arg=-Wno-deprecated-declarations "$1" 2>&1) || status=$?
  grep -vE '^[0-9]+ warnings? generated|^Suppressed|^Use -header-filter|^Error while processing' <<<"$output" || true
  return $status
}
export -f tidy
log=$(mktemp)
trap 'rm -f "$log"' EXIT
deadline=$((SECONDS + seconds))
batch=$(($(nproc) * 4))
read=0 status=0
for ((at = 0; at < ${#sources[@]}; at += batch)); do
  [[ $all == yes ]] || ((SECONDS < deadline)) || break
  part=("${sources[@]:at:batch}")
  printf '%s\0' "${part[@]}" | xargs -0 -n 1 -P "$(nproc)" bash -c 'tidy "$1"' _ >"$log" || status=1
  cat "$log"
  read=$((read + ${#part[@]}))
done
say "clang-tidy: read $read of ${#sources[@]} sources$( ((status == 0)) && echo ', clean')"
exit $status
