#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: scripts/test.sh [--preset NAME]... [--no-setup] [--no-lint] [--integration] [-- CTEST_ARGUMENT...]
# Everything a change must pass: set-up, format, the release and asan builds with the same tests in both, and
# clang-tidy on a part of the sources. --preset (release, debug, asan, tsan) names the builds instead.
# --integration adds scripts/integration.sh: images, and the compose stack from outside.
# Goes on after a failure, ends with ctest's summary of every build, and exits 0 only if all was well.
source "$(dirname "$0")/common.sh"

presets=() setup=yes lint=yes integration=no
while (($#)); do
  case $1 in
    --preset) presets+=("${2:?--preset needs a name}"); shift 2 ;;
    --no-setup) setup=no; shift ;;
    --no-lint) lint=no; shift ;;
    --integration) integration=yes; shift ;;
    --) shift; break ;;
    *) usage 3 7 "$1" ;;
  esac
done
((${#presets[@]})) || presets=(release asan)

failed=() summaries=()
# stage NAME COMMAND...: runs it with its time, and remembers whether it failed.
stage() {
  local name=$1 start=$SECONDS status=0
  shift
  say "$name"
  "$@" || status=$?
  if ((status)); then
    failed+=("$name")
    say "$name: FAILED after $((SECONDS - start)) s"
  else
    say "$name: ok, $((SECONDS - start)) s"
  fi
  return $status
}

# One test more than processors: many wait for a daemon or a clock.
run_tests() {
  local preset=$1 log
  shift
  log=$(build_folder "$preset")/ctest.log
  ctest --preset "$preset" -j "$(($(nproc) + 1))" --no-tests=error "$@" 2>&1 | tee "$log"
  local status=${PIPESTATUS[0]}
  summaries+=("$(grep -E '^[0-9]+% tests passed' "$log" || echo "no summary, ctest exited with $status")")
  return "$status"
}

[[ $setup == no ]] || stage "set-up" scripts/setup.sh || exit 1
[[ $lint == no ]] || stage "format" scripts/format.sh --check || true
for preset in "${presets[@]}"; do
  if stage "$preset build" scripts/build.sh "$preset"; then
    stage "$preset tests" run_tests "$preset" "$@" || true
  else
    summaries+=("no tests: the build failed")
  fi
  if [[ $preset == release && $lint == yes ]]; then stage "clang-tidy" scripts/tidy.sh || true; fi
done

[[ $integration == no ]] || stage "integration" scripts/integration.sh || true

say "done in $((SECONDS / 60)) min $((SECONDS % 60)) s"
((${#failed[@]} == 0)) || say "failed: $(printf '%s, ' "${failed[@]}" | sed 's/, $//')"
for i in "${!presets[@]}"; do printf '== ctest, %s:\n%s\n' "${presets[i]}" "${summaries[i]}"; done
((${#failed[@]} == 0))
