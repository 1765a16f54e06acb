#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: scripts/integration.sh [-- PYTEST_ARGUMENT...]
# Builds the images of the commit that is checked out and drives the stack of docker/compose.yaml from outside
# (tests/integration). Starts dockerd for as long as it runs where no engine answers; says so where it cannot.
source "$(dirname "$0")/common.sh"
source scripts/docker.sh

if (($#)); then
  [[ $1 == -- ]] || usage 3 5 "$1"
  shift
fi
[[ -x .venv/bin/python ]] || fail "no .venv: scripts/setup.sh first"
command -v docker-compose >/dev/null || fail "docker-compose is missing: apt-get install docker-compose"
need_docker
scripts/images.sh
.venv/bin/python -m pytest -q -p no:cacheprovider tests/integration "$@"
