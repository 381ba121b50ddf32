#!/bin/sh
# Standard output is one line of facts for each path that is a parameter.
for path; do
    facts "$path" || exit 3
done
