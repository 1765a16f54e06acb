#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: scripts/build.sh [PRESET [TARGET...]]     PRESET: release (default), debug, asan, tsan
# Configures and builds; everything unless targets are named.
source "$(dirname "$0")/common.sh"

[[ ${1:-} != -* ]] || usage 3 4 "$1"
preset=${1:-release}
shift || true
cmake --preset "$preset" -Wno-dev >/dev/null || fail "configuring $preset failed: cmake --preset $preset"
ninja -C "$(build_folder "$preset")" -j "$(jobs_that_fit)" "$@"
