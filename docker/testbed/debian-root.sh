#!/usr/bin/env bash
# Unpacks packages of any Debian suite, with all that they depend on, into a folder. Nothing is installed; the
# machine's own package state stays as it is.
#   debian-root.sh SUITE FOLDER PACKAGE…
# LEAVE_OUT: extended regular expression of package names that are not unpacked.
# DEBIAN_MIRROR: where from (default: the mirror that this machine's apt uses).
set -euo pipefail
suite=$1 folder=$2; shift 2
mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -m1 -E '/debian/?$' || true)}
[ -n "$mirror" ] || { echo "debian-root: apt knows no Debian mirror; set DEBIAN_MIRROR" >&2; exit 1; }
state=$(mktemp -d); trap 'rm -rf "$state"' EXIT
mkdir -p "$state"/lists/partial "$state"/archives/partial "$folder"
: > "$state/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror%/} $suite main" > "$state/sources.list"
apt=(apt-get -qq -y -o "Dir::Etc::SourceList=$state/sources.list" -o Dir::Etc::SourceParts=/dev/null
  -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
  -o "Dir::State=$state" -o "Dir::State::Lists=$state/lists" -o "Dir::State::status=$state/status"
  -o "Dir::Cache=$state" -o "Dir::Cache::Archives=$state/archives" -o APT::Install-Recommends=0
  -o Acquire::Languages=none -o APT::Sandbox::User=root)
"${apt[@]}" update
"${apt[@]}" --download-only install "$@" >/dev/null
# usr-merged, as the packages expect
for name in bin sbin lib lib64; do mkdir -p "$folder/usr/$name"; [ -e "$folder/$name" ] || ln -s "usr/$name" "$folder/$name"; done
for package in "$state"/archives/*.deb; do
  name=$(basename "$package"); name=${name%%_*}
  if [ -n "${LEAVE_OUT:-}" ] && [[ $name =~ $LEAVE_OUT ]]; then continue; fi
  dpkg-deb --fsys-tarfile "$package" | tar -x -C "$folder" --keep-directory-symlink \
    --exclude='./usr/share/doc' --exclude='./usr/share/man' --exclude='./usr/share/locale' --exclude='*/bitcode' --exclude='*llvmjit*'
done
