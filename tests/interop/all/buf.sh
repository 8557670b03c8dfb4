#!/usr/bin/env bash
# buf: the proto's style, and that no caller of the last release breaks.
set -euo pipefail
buf=target/tools/node_modules/.bin/buf

"$buf" lint proto
if tag=$(git describe --tags --abbrev=0 2>/dev/null); then
    "$buf" breaking proto --against ".git#tag=$tag,subdir=proto"
    echo "buf: lint is clean, nothing breaks callers of $tag"
else
    echo "buf: lint is clean; there is no tag yet that a change could break"
fi
