#!/usr/bin/env bash
# A real S3 server for tests: Ceph's RADOS gateway on one in-memory store, unpacked from Debian packages into a
# folder. Run it with s3-run.sh.
#   s3-build.sh FOLDER
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$1
if [ -f "$folder/.complete" ]; then
  # The script may be newer than the packages unpacked.
  cmp -s "$here/s3-serve.sh" "$folder/s3-serve" || install -m 755 "$here/s3-serve.sh" "$folder/s3-serve"
  exit 0
fi
command -v apt-get >/dev/null || { echo "s3-build: needs Debian's packages; set TIDEMARK_TEST_S3 to a server of yours" >&2; exit 1; }
echo "setup: unpacking Ceph's S3 gateway into $folder" >&2
rm -rf "$folder"; mkdir -p "$folder"
LEAVE_OUT='^(perl|libperl|ucf|cryptsetup|lvm2|sudo|systemd|parted|gdisk|ceph-volume|python3|libpython3|xfsprogs|locales|binutils|gcc-1)' \
  "$here/debian-root.sh" forky "$folder" radosgw ceph-mon ceph-osd bash coreutils libc-bin base-files
mkdir -p "$folder"/{proc,dev,tmp,run/ceph,etc/ceph,var/lib/ceph,var/log/ceph,root}
printf 'root:x:0:0:root:/root:/bin/sh\n' > "$folder/etc/passwd"
printf 'root:x:0:\n' > "$folder/etc/group"
printf '127.0.0.1 localhost\n' > "$folder/etc/hosts"
install -m 755 "$here/s3-serve.sh" "$folder/s3-serve"
touch "$folder/.complete"
