#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: scripts/setup.sh
# Brings a Debian bookworm machine to where this repository builds and tests: Debian packages
# (scripts/packages.txt; needs root where some are missing) and a Python environment in .venv.
# Does only what is missing, so it may run any number of times.
source "$(dirname "$0")/common.sh"

(($# == 0)) || usage 3 6 "$@"

install_packages() {
  local wanted missing=()
  mapfile -t wanted < <(sed 's/#.*//' scripts/packages.txt | awk 'NF {print $1}')
  for package in "${wanted[@]}"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
  if ((${#missing[@]} == 0)); then
    say "Debian packages: all ${#wanted[@]} are there"
    return
  fi
  say "Debian packages: installing ${missing[*]}"
  local install=(apt-get install -y --no-install-recommends "${missing[@]}")
  ((EUID == 0)) || fail "packages are missing and this is not root; run: ${install[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  "${install[@]}"
}

# .venv holds the packages the Python tests import, and clients/python in place. Its stamp is a digest of
# all that decides what is installed.
install_python() {
  local stamp=.venv/rlxd-stamp wanted
  wanted=$(cat scripts/setup.sh {scripts/quickstart,tests/python,tests/onnx}/requirements.txt clients/python/{pyproject.toml,hatch_build.py} \
    $(find proto -name '*.proto' | sort) | sha256sum)
  if [[ -e $stamp && $(<"$stamp") == "$wanted" ]]; then
    say "Python environment: .venv is up to date"
    return
  fi
  say "Python environment: installing into .venv"
  [[ -x .venv/bin/python ]] || python3 -m venv .venv
  .venv/bin/python -m pip install --progress-bar off -r scripts/quickstart/requirements.txt -r tests/python/requirements.txt \
    -r tests/onnx/requirements.txt -e 'clients/python[test]' ruff==0.17.6
  echo "$wanted" >"$stamp"
}

install_packages
install_python
say "set up"
