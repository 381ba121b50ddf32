#!/bin/sh
# Writes files. Standard input is a list of them, each as
#   SIZE SHA256 MODE OWNER-or-minus FRESH(0 or 1)
#   PATH
#   SIZE bytes of content
# after a first line with their number. All are written under private names beside their destinations and
# checked there before the first is put in its place. What was put in place is looked at again, one line each.
# "Fresh" files are removed first and then created exclusively; the others are replaced atomically.
umask 077
newline='
'
fail() {
    echo "$*" >&2
    exit 3
}
# Private names, one on each line: no path holds a line break. Not the positional parameters: in bash a trap that
# runs while `fail` exits sees those of `fail`.
private=
trap 'IFS=$newline; [ -z "$private" ] || rm -f $private' EXIT
trap 'exit 143' HUP INT TERM
# The positional parameters are the files written so far: private name, destination, fresh.
set --
read -r count || fail "no list of files arrived"
while [ "$count" -gt 0 ]; do
    count=$((count - 1))
    read -r size sum mode owner fresh || fail "the list of files is cut"
    IFS= read -r path || fail "the list of files is cut"
    dir=${path%/*}
    dir=${dir:-/}
    [ -d "$dir" ] || (umask 022 && mkdir -p "$dir") || fail "cannot make the directory $dir"
    [ ! -d "$path" ] || fail "$path is a directory"
    if [ "$fresh" = 1 ]; then
        rm -f "$path" || fail "cannot remove the old $path"
    fi
    # What a delivery left that was killed on its way.
    find "$dir" -maxdepth 1 -type f -name '.phoenix-??????' -mmin +10 -exec rm -f {} + 2>/dev/null
    temp=$(mktemp "$dir/.phoenix-XXXXXX") || fail "cannot create a file in $dir"
    private=$private$newline$temp
    set -- "$@" "$temp" "$path" "$fresh"
    # Byte by byte: a larger block could take bytes of the next file, or come short from a pipe.
    said=$(dd bs=1 count="$size" 2>&1 >"$temp") || fail "cannot write in $dir: $said"
    [ "$(sha256sum <"$temp")" = "$sum  -" ] || fail "$path differs after writing"
    if [ "$owner" != - ]; then
        chown -- "$owner" "$temp" || fail "cannot give $path to $owner"
    fi
    chmod "$mode" "$temp" || fail "cannot set mode $mode of $path"
done
while [ $# -gt 0 ]; do
    if [ "$3" = 1 ]; then
        ln "$1" "$2" || fail "cannot create $2: something else was put there"
        rm -f "$1"
    else
        mv -f "$1" "$2" || fail "cannot put $2 in its place"
    fi
    { [ -f "$2" ] && [ ! -L "$2" ]; } || fail "$2 differs after writing: it is not a regular file"
    facts "$2" || fail "cannot read $2 back"
    shift 3
done
