#!/usr/bin/env bash
# PostgreSQL client programs of a newer major than this Debian has, made to run here: the newer suite's own
# binaries with their own libraries and loader.
#   pg-client.sh SUITE MAJOR FOLDER        trixie has 17, forky 18
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
suite=$1 major=$2 folder=$3
[ -x "$folder/bin/pg_dump" ] && exit 0
root=$(mktemp -d); trap 'rm -rf "$root"' EXIT
LEAVE_OUT='^(perl|libperl|postgresql-client-common|postgresql-common|libjson-perl|libgdbm|libdb|debconf|netbase|sensible-utils)' \
  "$here/debian-root.sh" "$suite" "$root" "postgresql-client-$major" libpq5
loader=$(ls "$root"/lib64/ld-linux-x86-64.so.2 "$root"/usr/lib/ld-linux-aarch64.so.1 2>/dev/null | head -n 1 || true)
libraries=$(dirname "$(find "$root/usr/lib" -name 'libpq.so.5' | head -n 1 || true)")
mkdir -p "$folder.new/bin" "$folder.new/lib"
cp -L "$loader" "$folder.new/lib/loader"
for program in pg_dump pg_dumpall pg_restore psql; do cp -L "$root/usr/lib/postgresql/$major/bin/$program" "$folder.new/bin/"; done
for program in "$folder.new"/bin/*; do "$loader" --library-path "$libraries" --list "$program" | awk '/=> \//{print $3}'; done \
  | sort -u | xargs -I{} cp -L {} "$folder.new/lib/"
for program in "$folder.new"/bin/*; do
  patchelf --set-interpreter "$folder/lib/loader" --force-rpath --set-rpath "$folder/lib" "$program"
done
for library in "$folder.new"/lib/*.so*; do patchelf --force-rpath --set-rpath "$folder/lib" "$library"; done
rm -rf "$folder"; mv "$folder.new" "$folder"
"$folder/bin/pg_dump" --version
