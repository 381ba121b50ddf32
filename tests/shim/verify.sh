#!/bin/bash
# The shim for the old renewal script, against a stand-in of phoenix-certctl that tells how it was called.
set -euo pipefail
tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
shim=$tree/config/certificate-renewal-manager.sh
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
failed=0

# expect CODE OUTPUT [ARGUMENT...]
expect() {
    local code=$1 wanted=$2 output status=0
    shift 2
    output=$(PATH=$bin:/usr/bin:/bin STATUS=$code "$shim" "$@" 2>/dev/null <<<"must not be read") || status=$?
    if [ "$status:$output" != "$code:$wanted" ]; then
        printf 'with <%s>: exit code %s and <%s>, not %s and <%s>\n' "$*" "$status" "$output" "$code" "$wanted" >&2
        failed=1
    fi
}

cat >"$bin/phoenix-certctl" <<'STANDIN'
#!/bin/sh
cat
echo "$*"
exit "$STATUS"
STANDIN
chmod +x "$bin/phoenix-certctl"

for code in 0 1 3; do
    expect "$code" "sync --best-effort"
    expect "$code" "sync --until written --best-effort" --generate-only
    expect "$code" "sync --until activated --force" --force
    expect "$code" "sync --until written --force" --force --generate-only
    expect "$code" "sync --until written --force" --generate-only --force
done
expect 0 "usage: certificate-renewal-manager.sh [--force] [--generate-only]" --help
expect 2 "" --frobnicate
expect 2 "" --force extra

rm "$bin/phoenix-certctl"
if [ ! -x /usr/bin/phoenix-certctl ]; then
    expect 127 ""
fi
exit "$failed"
