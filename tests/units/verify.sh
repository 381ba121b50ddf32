#!/bin/bash
# Checks systemd/ with systemd's own tools: units, users, directories. Unknown keys and bad values are mere
# warnings there, so any output at all is a failure. Needs no running systemd and nothing installed: the units
# are checked in a root directory of their own, with stand-ins for the binaries.
set -euo pipefail
tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
failed=0

complain() {
    printf '%s\n' "$@" >&2
    failed=1
}

# expect_silence NAME COMMAND...: the command must succeed and say nothing.
expect_silence() {
    local name=$1 output
    shift
    if ! output=$("$@" 2>&1) || [ -n "$output" ]; then
        complain "$name:" "${output:-(failed without a word)}"
    fi
}

# expect_score UNIT LIMIT: exposure as `systemd-analyze security` counts it, in tenths.
expect_score() {
    local unit=$1 limit=$2 output
    if ! output=$(systemd-analyze security --offline=true --no-pager --threshold="$limit" "$tree/systemd/$unit" 2>&1); then
        complain "$unit is more exposed than $limit tenths:" "$(tail -n 1 <<<"$output")"
    fi
}

mkdir -p "$root/usr/bin" "$root/usr/libexec/phoenix-certd" "$root/etc/systemd/system" "$root/usr/lib/systemd"
cp -r /usr/lib/systemd/system "$root/usr/lib/systemd/system"
rm -f "$root/usr/lib/systemd/system"/phoenix-*
cp "$tree"/systemd/*.service "$tree"/systemd/*.socket "$root/etc/systemd/system/"
for binary in usr/bin/phoenix-certd usr/libexec/phoenix-certd/phoenix-executor; do
    install -m 755 /bin/true "$root/$binary"
done

for unit in "$tree"/systemd/*.service "$tree"/systemd/*.socket; do
    unit=${unit##*/}
    expect_silence "$unit" systemd-analyze verify --root="$root" --man=no --recursive-errors=no "/etc/systemd/system/$unit"
done
expect_score phoenix-certd.service 12
expect_score phoenix-executor.service 36

# Users first, as on a real machine: the directories belong to them.
install -m 644 /etc/passwd /etc/group "$root/etc/"
made=$(systemd-sysusers --root="$root" "$tree/systemd/sysusers.conf" 2>&1) || complain "sysusers.conf:" "$made"
[ "$(wc -l <<<"$made")" = 2 ] || complain "sysusers.conf makes more or less than one user and its group:" "$made"
grep -q '^phoenix-certd:.*:/usr/sbin/nologin$' "$root/etc/passwd" || complain "sysusers.conf makes no user phoenix-certd"
expect_silence tmpfiles.conf systemd-tmpfiles --root="$root" --create "$tree/systemd/tmpfiles.conf"
modes=$(cd "$root" && stat -c '%a %n' etc/phoenix-certd run/phoenix-executor run/phoenix-certd var/lib/phoenix-certd var/lib/phoenix-executor)
expected='755 etc/phoenix-certd
755 run/phoenix-executor
755 run/phoenix-certd
700 var/lib/phoenix-certd
700 var/lib/phoenix-executor'
[ "$modes" = "$expected" ] || complain "tmpfiles.conf makes other directories than expected:" "$modes"
exit "$failed"
