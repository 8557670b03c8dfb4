#!/usr/bin/env bash
# Runs each fuzz target for SECONDS_EACH, 20 by default, from the recorded replies
# and the media files of the tests. A failure leaves its input in target/fuzz.
#
# Coverage is a stable option of the compiler, so no nightly toolchain and no cargo-fuzz is needed; `cargo fuzz run` also
# works, with the address sanitizer.
set -euo pipefail
cd "$(dirname "$0")/.."

out=$PWD/target/fuzz
flags=(
    -C passes=sancov-module
    -C llvm-args=-sanitizer-coverage-level=4
    -C llvm-args=-sanitizer-coverage-inline-8bit-counters
    -C llvm-args=-sanitizer-coverage-pc-table
    -C llvm-args=-sanitizer-coverage-trace-compares
)
host=$(rustc -vV | sed -n 's/^host: //p')
# The gateway's versions; cargo adds what only the fuzz targets need.
cp Cargo.lock fuzz/Cargo.lock
# With a target named, the flags do not apply to build scripts.
RUSTFLAGS="${flags[*]}" CARGO_TARGET_DIR=$out \
    cargo build --manifest-path fuzz/Cargo.toml --target "$host" --bins

for target in "${@:-texts_reply chunks_reply contents_reply rerank_reply media_header}"; do
    for name in $target; do
        corpus=$out/corpus/$name seeds=$out/seeds dictionary=-dict=fuzz/json.dict
        case $name in
            *_reply) files=(tests/fixtures/voyage/*_reply.json) ;;
            media_header) files=(tests/fixtures/media/*) seeds=$out/media dictionary= ;;
        esac
        mkdir -p "$corpus" "$seeds" "$out/failures"
        cp "${files[@]}" "$seeds"
        echo "fuzz: $name"
        if ! "$out/$host/debug/$name" "$corpus" "$seeds" ${dictionary:+"$dictionary"} -max_total_time="${SECONDS_EACH:-20}" \
            -max_len=4096 -artifact_prefix="$out/failures/$name-" -verbosity=0 -print_final_stats=1 >"$out/$name.log" 2>&1; then
            tail -n 40 "$out/$name.log"
            exit 1
        fi
        grep "stat::number_of_executed_units" "$out/$name.log"
    done
done
