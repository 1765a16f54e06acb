#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: scripts/stack.sh up [MODELS] | down | COMPOSE_ARGUMENT...
# The stack of docker/compose.yaml: two replicas serving the models of a folder (docker/models by default), nginx, Redis and
# Prometheus, on loopback. `up` makes the images and secrets that are missing; `down` leaves both. Everything else
# goes to docker-compose. Starts no engine: it would end with this script.
source "$(dirname "$0")/common.sh"
source scripts/docker.sh

(($#)) && [[ $1 != -* ]] || usage 3 6 "${1:-}"
docker info >/dev/null 2>&1 || fail "no container engine answers; start one: dockerd &"
export RLXD_SECRETS=${RLXD_SECRETS:-$PWD/docker/secrets} RLXD_MODELS=${RLXD_MODELS:-$PWD/docker/models}

# Readable for the containers' user, in a folder that only ours enters.
make_secrets() {
  [[ ! -e $RLXD_SECRETS/redis.conf ]] || return 0
  mkdir -p "$RLXD_SECRETS"
  local password
  password=$(head -c 24 /dev/urandom | base64)
  head -c 32 /dev/urandom | base64 >"$RLXD_SECRETS/shared_cache_key"
  echo "$password" >"$RLXD_SECRETS/redis_password"
  printf '%s\n' 'bind 0.0.0.0' 'save ""' 'maxmemory 1gb' 'maxmemory-policy allkeys-lru' "requirepass $password" >"$RLXD_SECRETS/redis.conf"
  chmod 0444 "$RLXD_SECRETS"/*
}

compose() { docker-compose --file docker/compose.yaml "$@"; }

case $1 in
  up)
    (($# < 2)) || RLXD_MODELS=$(realpath "$2")
    mkdir -p "$RLXD_MODELS"
    for image in cpu tools; do
      docker image inspect "rlxd:$image" >/dev/null 2>&1 || scripts/images.sh "$image"
    done
    make_secrets
    compose up --detach
    ;;
  down) compose down --volumes ;;
  *) compose "$@" ;;
esac
