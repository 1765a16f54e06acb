#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Usage: needed_packages.sh FOLDER     the Debian packages whose libraries the binaries in FOLDER are linked with
set -eu
find "$1" -type f \( -path '*/bin/*' -o -name '*.so*' \) -exec ldd {} + | awk '$2 == "=>" && $3 ~ /^\// {print $3}' | sort -u |
  while read -r library; do
    case $library in "$1"/*) continue ;; esac
    # Packages know files by the path that they were shipped under: /lib is a link to /usr/lib.
    real=$(readlink -f "$library")
    dpkg-query -S "$library" "$real" "${real#/usr}" 2>/dev/null | head -n 1 | cut -d: -f1
  done | sort -u
