#!/bin/sh
# Runs what s3-build.sh made, in namespaces of its own: it ends whole when this process ends. Root only.
# All that it writes is in memory of its own, so that several can run from one folder at once.
#   S3_PORT=… MON_PORT=… S3_ACCESS_KEY=… S3_SECRET_KEY=… s3-run.sh FOLDER
set -eu
exec unshare --mount --pid --fork --kill-child sh -c '
  set -eu
  mount -t proc proc "$1/proc"
  mount -t tmpfs tmpfs "$1/dev"
  mknod -m 666 "$1/dev/null" c 1 3; mknod -m 666 "$1/dev/zero" c 1 5
  mknod -m 666 "$1/dev/random" c 1 8; mknod -m 666 "$1/dev/urandom" c 1 9
  for folder in var tmp run etc/ceph; do mount -t tmpfs tmpfs "$1/$folder"; done
  exec chroot "$1" /s3-serve' sh "$1"
