#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: scripts/manifests.sh [--check]
# Renders deploy/helm/rlxd with each of deploy/helm/examples into deploy/kubernetes, for those who use no Helm. --check
# renders nothing and fails where a file is not what would be.
source "$(dirname "$0")/common.sh"

check=no
case ${1:-} in
  '') ;;
  --check) check=yes ;;
  *) usage 3 5 "$1" ;;
esac
helm=.venv/bin/helm
[[ -x $helm ]] || fail "no $helm: scripts/setup.sh first"

render() {
  printf '# SPDX-License-Identifier: Apache-2.0\n# By scripts/manifests.sh from deploy/helm/examples/%s.\n' "$1"
  "$helm" template rlxd deploy/helm/rlxd --namespace rlxd --values "deploy/helm/examples/$1" | sed 's/ *$//; /^$/d; /^# Source: /d'
}

stale=()
for values in deploy/helm/examples/*.yaml; do
  name=${values##*/}
  file=deploy/kubernetes/$name
  if [[ $check == yes ]]; then
    render "$name" | cmp -s - "$file" || stale+=("$file")
  else
    render "$name" >"$file"
  fi
done
((${#stale[@]} == 0)) || fail "not as rendered: ${stale[*]}: run scripts/manifests.sh"
