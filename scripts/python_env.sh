#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes .venv hold the Python client and what the quickstart and the Python tests need. Does nothing
# when neither the client, nor the wire, nor the list of packages has changed since.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

state=$(find clients/python proto scripts/quickstart/requirements.txt -type f \
  -not -path '*/__pycache__/*' -not -path '*/_proto/*' -print0 | sort -z | xargs -0 sha256sum | sha256sum)
stamp=.venv/installed.sha256
if [[ -f ${stamp} && $(<"${stamp}") == "${state}" ]]; then
  echo "up to date"
  exit 0
fi

[[ -x .venv/bin/python ]] || python3 -m venv .venv
.venv/bin/python -m pip install --disable-pip-version-check \
  --requirement scripts/quickstart/requirements.txt ./clients/python
echo "${state}" > "${stamp}"
