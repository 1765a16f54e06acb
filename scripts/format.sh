#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: scripts/format.sh [--check]     formats C++ (clang-format-19) and Python (ruff), or says what differs
source "$(dirname "$0")/common.sh"

mapfile -t cpp < <(git ls-files '*.cc' '*.h' '*.cu')
ruff=.venv/bin/ruff
case ${1:-} in
  --check)
    status=0
    clang-format-19 --dry-run -Werror "${cpp[@]}" || status=1
    if [[ -x $ruff ]]; then
      "$ruff" check --quiet --config clients/python/pyproject.toml bench clients deploy scripts tests || status=1
      "$ruff" format --quiet --check --config clients/python/pyproject.toml bench clients deploy scripts tests || status=1
    fi
    exit $status
    ;;
  '')
    clang-format-19 -i "${cpp[@]}"
    [[ ! -x $ruff ]] || "$ruff" format --quiet --config clients/python/pyproject.toml bench clients deploy scripts tests
    ;;
  *) usage 3 3 "$1" ;;
esac
