#!/bin/bash
# Starts a small Ceph with its S3 gateway at http://127.0.0.1:7480, in memory. Needs Debian's packages
# ceph-mon, ceph-osd, radosgw and ceph-common, and root. Makes the user with the keys vireid, secret123.
#
#     bash tests/faults/ceph.sh FOLDER
#
# Stop it by the process ids in FOLDER/run/*.pid.
set -eu
mkdir -p "$1"; cd "$1"
D=$PWD; FSID=$(uuidgen); IP=127.0.0.1
mkdir -p mon osd rgw run
cat > ceph.conf <<C
[global]
fsid = $FSID
mon host = [v2:$IP:3310/0,v1:$IP:6810/0]
public network = 127.0.0.0/8
cluster network = 127.0.0.0/8
keyring = $D/keyring
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd crush chooseleaf type = 0
mon allow pool size one = true
run dir = $D/run
admin socket = $D/run/\$name.asok
log file = $D/run/\$name.log
pid file = $D/run/\$name.pid
osd objectstore = memstore
memstore device bytes = 2147483648
osd data = $D/osd
mon data = $D/mon
mon data avail warn = 1
mon data avail crit = 1
[client.rgw]
rgw data = $D/rgw
rgw frontends = beast endpoint=$IP:7480
rgw thread pool size = 32
C
ceph-authtool -C keyring --gen-key -n mon. --cap mon 'allow *'
ceph-authtool keyring --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
ceph-authtool keyring --gen-key -n client.rgw --cap mon 'allow rwx' --cap osd 'allow rwx'
ceph-authtool keyring --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *'
monmaptool --create --addv a "[v2:$IP:3310,v1:$IP:6810]" --fsid $FSID monmap --clobber
ceph-mon -c ceph.conf --mkfs -i a --monmap monmap --keyring keyring
ceph-mon -c ceph.conf -i a
timeout 30 ceph -c ceph.conf auth import -i keyring
timeout 30 ceph -c ceph.conf osd create
ceph-osd -c ceph.conf -i 0 --mkfs
ceph-osd -c ceph.conf -i 0
sleep 3; timeout 30 ceph -c ceph.conf osd stat
cp keyring rgw/keyring
radosgw -c ceph.conf -n client.rgw --keyring $D/keyring
until curl -s -o /dev/null http://127.0.0.1:7480; do sleep 0.5; done
radosgw-admin -c ceph.conf user create --uid vireid --display-name vireid --access-key vireid \
  --secret-key secret123 > user.json
