#!/bin/sh
# Begins every script that runs in a guest, under any POSIX shell.
set -f
PATH=$PATH:/usr/sbin:/usr/bin:/sbin:/bin
# What lies at a path, on one line: `missing`, `odd` (no regular file), or SHA256 MODE UID GID, the mode as ls(1)
# writes it. No file of ours is longer than 1 MiB: of a longer one only the beginning is read.
facts() {
    if [ ! -e "$1" ] && [ ! -L "$1" ]; then
        echo missing
    elif [ ! -f "$1" ] || [ -L "$1" ]; then
        echo odd
    else
        sum=$(head -c 1048577 "$1" | sha256sum) || return 1
        ls -ldn "$1" | {
            read -r mode _ uid gid _
            echo "${sum%% *} $mode $uid $gid"
        }
    fi
}
