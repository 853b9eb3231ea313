#!/bin/bash
# Inside the unpacked root: one monitor, one store in memory, one gateway. Ends when one of them does.
# S3_PORT, MON_PORT, S3_ACCESS_KEY, S3_SECRET_KEY, VAULT_ADDR (for SSE with AES256)
# SSE with aws:kms knows one key, test-key. Role "backup" may be assumed by the user, and deletes nothing.
set -euo pipefail
port=$S3_PORT
mon="[v2:127.0.0.1:$MON_PORT,v1:127.0.0.1:$((MON_PORT + 1))]"
id=6d1f8a52-0000-4000-8000-000000000001
mkdir -p /etc/ceph /run/ceph /tmp /var/log/ceph /var/lib/ceph/{mon/ceph-a,osd/ceph-0,radosgw}
rm -rf /var/lib/ceph/mon/ceph-a/* /var/lib/ceph/osd/ceph-0/* /run/ceph/* /var/log/ceph/*
cat > /etc/ceph/ceph.conf <<CONF
[global]
fsid = $id
mon host = $mon
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
auth allow insecure global id reclaim = true
run dir = /run/ceph
log file = /var/log/ceph/\$name.log
admin socket =
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd crush initial weight = 1
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail crit = 1
mon data avail warn = 2
paxos propose interval = 0.05
objecter tick interval = 0.25
[osd]
osd objectstore = memstore
memstore device bytes = 6442450944
osd max object name len = 460
[client]
rgw frontends = beast endpoint=127.0.0.1:$port
rgw data = /var/lib/ceph/radosgw
rgw crypt require ssl = false
rgw crypt s3 kms backend = testing
rgw crypt s3 kms encryption keys = test-key=$(printf '%032d' 7 | base64)
rgw thread pool size = 64
rgw s3 auth use sts = true
rgw sts key = $(head -c 8 /dev/urandom | od -An -tx1 | tr -d ' \n')
ms mon client mode = crc
ms client mode = crc
CONF
if [ -n "${VAULT_ADDR:-}" ]; then
  cat >> /etc/ceph/ceph.conf <<CONF
rgw crypt sse s3 backend = vault
rgw crypt sse s3 vault auth = token
rgw crypt sse s3 vault token file = /etc/ceph/vault.token
rgw crypt sse s3 vault addr = $VAULT_ADDR
rgw crypt sse s3 vault prefix = /v1/transit
rgw crypt sse s3 vault secret engine = transit
CONF
  (umask 077; echo test-token > /etc/ceph/vault.token)
fi
monmaptool --create --clobber --fsid $id --addv a "$mon" /tmp/monmap > /var/log/ceph/make.out
ceph-authtool --create-keyring /tmp/keyring --gen-key -n mon. --cap mon 'allow *' >> /var/log/ceph/make.out
ceph-mon --mkfs -i a --monmap /tmp/monmap --keyring /tmp/keyring >> /var/log/ceph/make.out 2>&1
ceph-mon -i a -f > /var/log/ceph/mon.out 2>&1 &
ceph-osd -i 0 --mkfs --osd-uuid 6d1f8a52-0000-4000-8000-000000000002 > /var/log/ceph/osd-make.out 2>&1
ceph-osd -i 0 -f > /var/log/ceph/osd.out 2>&1 &
radosgw-admin user create --uid test --display-name test --access-key "$S3_ACCESS_KEY" --secret-key "$S3_SECRET_KEY" > /var/log/ceph/user.out 2>&1
{
  radosgw-admin role create --role-name backup --assume-role-policy-doc \
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam:::user/test"]},"Action":["sts:AssumeRole"]}]}'
  radosgw-admin role-policy put --role-name backup --policy-name most --policy-doc \
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*"],"Resource":"arn:aws:s3:::*"},{"Effect":"Deny","Action":["s3:DeleteObject"],"Resource":"arn:aws:s3:::*"}]}'
} >> /var/log/ceph/user.out 2>&1
for class in STANDARD_IA GLACIER; do
  radosgw-admin zonegroup placement add --rgw-zonegroup default --placement-id default-placement --storage-class $class
  radosgw-admin zone placement add --rgw-zone default --placement-id default-placement --storage-class $class --data-pool default.rgw.buckets.data
done >> /var/log/ceph/user.out 2>&1
radosgw -n client.rgw.a -f > /var/log/ceph/gateway.out 2>&1 &
for _ in $(seq 600); do
  if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then echo "S3 ready"; break; fi
  sleep 0.05
done
wait -n
tail -n 5 /var/log/ceph/*.out
exit 1
