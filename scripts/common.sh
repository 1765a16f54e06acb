# SPDX-License-Identifier: Apache-2.0
# Sourced by the other scripts: strict mode, the repository's root as working folder, plain progress.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '== %s\n' "$*"; }

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# usage FIRST LAST ARGUMENT...: prints those lines of the calling script's head. Status 0 where help was asked for, else 2.
usage() {
  sed -n "$1,$2s/^# //p" "scripts/${0##*/}"
  [[ $3 == -h || $3 == --help ]] || exit 2
  exit 0
}

# Compile jobs that the machine can hold: one a core, and one per 2 GiB of memory available.
jobs_that_fit() {
  local cores memory
  cores=$(nproc)
  memory=$(awk '/^MemAvailable:/ {print int($2 / 2097152)}' /proc/meminfo)
  ((memory >= 1)) || memory=1
  echo $((cores < memory ? cores : memory))
}

# Where a preset of CMakePresets.json builds.
build_folder() { if [[ $1 == release ]]; then echo build; else echo "build-$1"; fi; }
