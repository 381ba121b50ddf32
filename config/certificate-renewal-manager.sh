#!/bin/sh
# Takes the place of the renewal script that cron jobs and install scripts call, with the same flags:
#
#   certificate-renewal-manager.sh                   issue, deliver and activate what is due; exit 0 also when all
#                                                    that is missing waits for a guest or a CA that is not there yet
#   certificate-renewal-manager.sh --generate-only   only until the files are written: no guest, no command
#   certificate-renewal-manager.sh --force           deliver and activate everything again, due or not
#
# phoenix-certd does the work; this only asks for it and waits. Exit codes are those of phoenix-certctl: 0 what was
# asked for is true, 1 it is not, 2 wrong usage, 3 the daemon cannot be reached; 127 phoenix-certctl is missing.
set -u

usage() {
    printf 'usage: %s [--force] [--generate-only]\n' "${0##*/}"
}

force=no
until=
for argument in "$@"; do
    case $argument in
        --force) force=yes ;;
        --generate-only) until=written ;;
        -h | --help)
            usage
            exit 0
            ;;
        *)
            printf '%s: unknown argument: %s\n' "${0##*/}" "$argument" >&2
            usage >&2
            exit 2
            ;;
    esac
done

certctl=$(command -v phoenix-certctl) || certctl=/usr/bin/phoenix-certctl
if [ ! -x "$certctl" ]; then
    printf '%s: phoenix-certctl is neither in PATH nor in /usr/bin: install phoenix-certd\n' "${0##*/}" >&2
    exit 127
fi

# Standard input is often the list that the caller is reading.
exec </dev/null

set -- sync
if [ "$force" = yes ]; then
    set -- "$@" --until "${until:-activated}" --force
elif [ -n "$until" ]; then
    set -- "$@" --until "$until" --best-effort
else
    set -- "$@" --best-effort
fi
exec "$certctl" "$@"
