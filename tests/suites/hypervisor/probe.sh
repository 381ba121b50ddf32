#!/bin/bash
# Tries what a hook should not be able to do and prints what it could: KEY of another entry, executor's STATE.
other=$1 state=$2
password=/mnt/pve/quickOS/lxc-persistent-data/103/ssl/provisioner_password.txt
could=''
try() { # NAME COMMAND...
    local name=$1
    shift
    if "$@" >/dev/null 2>&1; then could="$could $name"; fi
}
connect() {
    python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect("/run/phoenix-executor/executor.sock")'
}
try own cat "$PHOENIX_KEY_PATH"
try other grep -q PRIVATE "$other"
try state ls "$state"
try password grep -q . "$password"
try socket connect
try etc touch /etc/probe
try data touch "${PHOENIX_KEY_PATH%/*}/probe"
try tcp bash -c ': </dev/tcp/127.0.0.1/9000'
try mount mount -t tmpfs none /mnt
try run touch /run/lock/probe
try signal kill -0 1
# Out of its control group, to where it is not ended.
try leave bash -c 'echo 0 >/sys/fs/cgroup/system.slice/phoenix-executor.service/main/cgroup.procs'
echo ${could# }
