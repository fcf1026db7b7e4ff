#!/usr/bin/env bash
# Hostile bytes, found by libFuzzer: fuzz/run.sh [TARGET] [SECONDS]. Without a target all of them, one after the other.
# fuzz/run.sh --short [SECONDS]: each target's corpus, and so many seconds more (20).
# What is found lies in fuzz/artifacts/TARGET; fuzz/run.sh TARGET FILE does it again.
set -euo pipefail
cd "$(dirname "$0")"

# As `cargo fuzz build` sets them; that command is not needed.
export RUSTFLAGS="--cfg ottla_fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address"
host=$(rustc +nightly -vV | sed -n 's/^host: //p')
# With a target, the flags are not those of build scripts.
build() { cargo +nightly build --quiet --locked --release --target "$host" "$@"; }

short=
if [[ ${1-} == --short ]]; then
    short=yes
    shift
    set -- all "${1-20}"
fi
name=${1-all} time=${2-60}
if [[ $name == all ]]; then
    targets=$(sed -n 's/^name = "\([a-z_]*\)"$/\1/p' Cargo.toml)
    build --bins
else
    targets=$name
    build --bin "$name"
fi
for target in $targets; do
    binary=target/$host/release/$target
    mkdir -p "found/$target" "artifacts/$target" "corpus/$target"
    if [[ -f $time ]]; then
        exec "$binary" "$time"
    fi
    echo "== $target"
    # What a short run finds is not kept: it is the same each time, but for chance.
    kept="found/$target"
    [[ -z $short ]] || kept=$(mktemp -d)
    set +e
    "$binary" "$kept" "corpus/$target" -max_total_time="$time" -artifact_prefix="artifacts/$target/" \
        -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=1024 -max_len=16384 -print_final_stats=1 2>&1 |
        grep --line-buffered -E '^(Done|stat::number|stat::peak|SUMMARY|ERROR|artifact_prefix|==|thread|assert)|panicked|live, and|left:|right:'
    status=${PIPESTATUS[0]}
    set -e
    [[ -z $short ]] || rm -rf "$kept"
    if ((status)); then
        echo "$target: an input does harm; it lies in fuzz/artifacts/$target"
        exit 1
    fi
done
