#!/bin/sh
# Installs what this project needs and this machine lacks, and says so. Quick when nothing is missing.
#   sh docker/setup.sh run     npm packages, PostgreSQL programs
#   sh docker/setup.sh test    the same, and what the tests use besides
set -eu
what=${1:-run}
cd "$(dirname "$0")/.."
project=$(pwd)

say() { echo "setup: $*" >&2; }
stop() { echo "setup: $1" >&2; echo "  remedy: $2" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif has sudo; then sudo "$@"
  else stop "needs root to install packages" "run it as root, install sudo, or install by hand: $*"
  fi
}

updated=no
install_packages() {
  if has apt-get; then
    say "installing $* (apt)"
    if [ $updated = no ]; then as_root apt-get -qq update; updated=yes; fi
    # No cluster is made or started: only the programs are wanted.
    as_root mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] || echo 'create_main_cluster = false' | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
    as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qq -y --no-install-recommends install "$@" >/dev/null
  elif has brew; then
    say "installing $* (brew)"
    brew install --quiet "$@"
  else
    stop "neither apt-get nor brew is here to install: $*" "install them with your system's package manager, then run this again"
  fi
}

has node || stop "Node.js is missing" "install Node.js 20 or newer (it brings npm)"

# npm: after a fresh clone, and when the lockfile has changed
if [ ! -f node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  say "installing npm packages"
  # Not `npm ci`: it wants every platform's optional packages in the lockfile. The lockfile stays as it was.
  lock=$(mktemp); cp -p package-lock.json "$lock"
  npm install --no-audit --no-fund --loglevel=error >&2
  cp -p "$lock" package-lock.json; rm -f "$lock"
  touch node_modules/.package-lock.json
fi

postgres_programs() {
  for folder in /usr/lib/postgresql/*/bin /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin; do
    if [ -x "$folder/pg_dump" ] && [ -x "$folder/initdb" ]; then return 0; fi
  done
  return 1
}
if ! postgres_programs; then
  if has apt-get; then install_packages postgresql postgresql-client; else install_packages postgresql@17; fi
fi

[ "$what" = test ] || exit 0

missing=
for pair in zstd:zstd age:age tar:tar openssl:openssl pgbouncer:pgbouncer; do
  has "${pair%%:*}" || missing="$missing ${pair##*:}"
done
# shellcheck disable=SC2086
[ -z "$missing" ] || install_packages $missing

# Debian's newer suites are unpacked below; other systems with apt lack its keys.
if has apt-get && [ ! -f /usr/share/keyrings/debian-archive-keyring.gpg ]; then install_packages debian-archive-keyring; fi

# Newer client programs, for servers newer than this system's own packages.
newest=0
for folder in /usr/lib/postgresql/*/bin /opt/homebrew/opt/postgresql@*/bin; do
  [ -x "$folder/pg_dump" ] || continue
  major=$(basename "$(dirname "$folder")"); major=${major#postgresql@}
  [ "$major" -le "$newest" ] || newest=$major
done
if [ "$newest" -lt 18 ] && has apt-get; then
  has patchelf || install_packages patchelf
  for pair in trixie:17 forky:18; do
    major=${pair##*:}
    [ -x ".cache/pg-client-$major/bin/pg_dump" ] && continue
    say "unpacking the PostgreSQL $major client programs into .cache/"
    mkdir -p .cache
    bash docker/testbed/pg-client.sh "${pair%%:*}" "$major" "$project/.cache/pg-client-$major" >&2
  done
elif [ "$newest" -lt 18 ]; then
  install_packages postgresql@18
fi

if [ -f docker/testbed/s3-build.sh ]; then bash docker/testbed/s3-build.sh "$project/.cache/s3"; fi
