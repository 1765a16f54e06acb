# SPDX-License-Identifier: Apache-2.0
# Sourced after common.sh by what needs a container engine.

# The first client that can build with BuildKit: Debian's has it inside, others need the plug-in buildx.
docker_program=docker
if [[ -x /usr/bin/docker ]] && ! command docker buildx version >/dev/null 2>&1; then docker_program=/usr/bin/docker; fi
docker() { command "$docker_program" "$@"; }

# need_docker: an engine that answers. Where none does, root starts dockerd here, and it ends with the script.
need_docker() {
  docker info >/dev/null 2>&1 && return
  command -v dockerd >/dev/null || fail "no container engine answers and dockerd is not installed: apt-get install docker.io docker-compose"
  ((EUID == 0)) || fail "no container engine answers, and only root can start one"
  local log
  log=$(mktemp /tmp/rlxd-dockerd.XXXXXX)
  say "starting dockerd (its words: $log)"
  dockerd >"$log" 2>&1 &
  dockerd_pid=$!
  trap 'stop_docker' EXIT
  for ((i = 0; i < 300; i++)); do
    docker info >/dev/null 2>&1 && return
    kill -0 "$dockerd_pid" 2>/dev/null || { tail -n 5 "$log" >&2; fail "dockerd does not start here"; }
    sleep 0.1
  done
  fail "dockerd does not answer after 30 s: $log"
}

stop_docker() {
  [[ -n ${dockerd_pid:-} ]] || return 0
  kill "$dockerd_pid" 2>/dev/null || true
  wait "$dockerd_pid" 2>/dev/null || true
  dockerd_pid=
}
