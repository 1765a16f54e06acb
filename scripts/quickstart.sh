#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: scripts/quickstart.sh [--keep]
# From a fresh checkout to a real sentence encoder that answers over gRPC: installs what is missing, builds,
# and plays scripts/quickstart against an rlxd of its own, which --keep leaves running. The second time is
# quick: only what changed is done again.
source "$(dirname "$0")/common.sh"

for argument in "$@"; do
  [[ $argument == --keep ]] || usage 3 6 "$argument"
done

spent=()
# part NAME COMMAND...: runs one part of the work and notes how long it took.
part() {
  local name=$1 start=${EPOCHREALTIME/[.,]/}
  shift
  say "$name"
  "$@"
  spent+=(--spent "$name=$(((${EPOCHREALTIME/[.,]/} - start) / 1000))e-3")
}

part "Install packages" scripts/setup.sh
part "Build rlxd" scripts/build.sh release rlxd rlxctl rlxd_backend_cpu

say "MiniLM on rlxd"
exec env PYTHONPATH=scripts .venv/bin/python -m quickstart "${spent[@]}" "$@"
