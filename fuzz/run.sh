#!/usr/bin/env bash
# Hostile bytes, found by libFuzzer.
#   fuzz/run.sh [--jobs N] [TARGET|all [SECONDS]]   so long each (60), N of them at a time (1)
#   fuzz/run.sh --short [SECONDS [TARGET]]          each target's corpus, and so many seconds more (20): for CI
#   fuzz/run.sh TARGET FILE                         an input once more
#   fuzz/run.sh --seeds                             writes the corpora
# What does harm lies in fuzz/artifacts/TARGET, and what covers more in fuzz/found/TARGET; fuzz/artifacts/runs.tsv has a line for each run.
set -euo pipefail
# A file is where the caller is.
[[ ! -f ${2-} ]] || set -- "$1" "$(realpath "$2")"
cd "$(dirname "$0")"

# As `cargo fuzz build` sets them; that command is not needed.
flags="--cfg ottla_fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address"

# What others wrote is covered, too. By the nightly toolchain where there is one, else by the stable one, which has what is needed.
build_all() {
    local cargo=(cargo) host
    if cargo +nightly --version >/dev/null 2>&1; then cargo+=(+nightly); else export RUSTC_BOOTSTRAP=1; fi
    host=$(rustc -vV | sed -n 's/^host: //p')
    # With a target, the flags are not those of build scripts.
    RUSTFLAGS="$flags" "${cargo[@]}" build --quiet --locked --release --bin wire --bin client --target "$host"
    programs=target/$host/release
}

# Quicker: what others wrote is not covered, and what is ours is not optimised. By the stable toolchain.
own() { OTTLA_FUZZ_FLAGS="$flags" RUSTC_WRAPPER="$PWD/rustc.sh" cargo "$1" --quiet --locked --config target/others.toml "${@:2}"; }
build_own() {
    borrow
    own build --bin wire --bin client
    programs=target/debug
}
# What others wrote is compiled as for the workspace's tests, and taken from there where these have been compiled.
borrow() {
    mkdir -p target
    sed -n '/^\[profile.dev.package\]/,/^$/p' ../Cargo.toml >target/others.toml
    [[ -d ../target/debug/deps && ! -d target/debug ]] || return 0
    mkdir target/debug
    cp -al ../target/debug/{deps,build} target/debug
    cp -a ../target/debug/.fingerprint target/debug
    # Not what is ours: it would pass for what is covered, and what is compiled here be written into the files there.
    rm -rf target/debug/.fingerprint/{ottla,outside}*
    find target/debug/deps \( -name '*ottla*' -o -name '*outside*' \) -delete
}

program() { for of in wire client; do [[ ! -f targets/$of/$1.rs ]] || echo "$programs/$of"; done; }

run() { # run TARGET SECONDS
    local target=$1 time=$2 kept=found/$1 log=artifacts/$1.log timeout=10 began=$SECONDS status=0 edges='' features='' inputs=''
    mkdir -p "$kept" "artifacts/$target" "corpus/$target"
    if [[ $short ]]; then
        # What it finds is not kept: it is the same each time, but for chance. And others have the machine first.
        kept=$(mktemp -d) timeout=300
    fi
    OTTLA_FUZZ_TARGET=$target "$(program "$target")" "$kept" "corpus/$target" -max_total_time="$time" \
        -artifact_prefix="artifacts/$target/" -timeout="$timeout" -rss_limit_mb=2048 -malloc_limit_mb=1024 -max_len=16384 \
        -print_final_stats=1 >"$log" 2>&1 || status=$?
    [[ -z $short ]] || rm -rf "$kept"
    stat() { sed -n "s/^stat::$1: *//p" "$log"; }
    read -r edges features inputs < <(grep -o 'cov: [0-9]* ft: [0-9]* corp: [0-9]*' "$log" | tail -1 | tr -dc '0-9 \n') || true
    printf '%s\t' "$(date -u +%FT%TZ)" "$target" $((SECONDS - began)) "$(stat number_of_executed_units)" "$(stat peak_rss_mb)" \
        "$edges" "$features" "$inputs" >"artifacts/$target.run"
    [[ $status == 0 ]] && echo well >>"artifacts/$target.run" || echo "harm: $status" >>"artifacts/$target.run"
    tee -a artifacts/runs.tsv <"artifacts/$target.run"
    [[ $status == 0 ]] && return
    grep -avE '^#[0-9]|^INFO|NEW_FUNC' "$log" | tail -60
    local file
    file=$(sed -n 's/.*Test unit written to //p' "$log" | tail -1)
    echo "$target: an input does harm: fuzz/$file. Once more it is: fuzz/run.sh $target fuzz/$file"
    [[ -z $file ]] || { echo "it is, in base64:" && base64 "$file"; }
    return 1
}

short='' jobs=1
case ${1-} in
--seeds)
    borrow
    own run --bin seeds
    exit
    ;;
--short)
    short=yes jobs=2
    set -- "${3-all}" "${2-20}"
    ;;
--jobs)
    jobs=$2
    shift 2
    ;;
esac
name=${1-all} time=${2-60} targets=${1-all}
[[ $name != all ]] || targets=$(sed -n 's/^ottla_fuzz::targets!(\(.*\));$/\1/p' targets/*/main.rs | tr -d ,)
if [[ $short ]]; then build_own; else build_all; fi
if [[ -f $time ]]; then
    OTTLA_FUZZ_TARGET=$name exec "$(program "$name")" "$time"
fi
mkdir -p artifacts
[[ -s artifacts/runs.tsv ]] || printf 'ended\ttarget\tseconds\tinputs\tMB\tedges\tfeatures\tkept\tit went\n' >artifacts/runs.tsv
# One that does harm does not end the others.
failed=0 running=0
for target in $targets; do
    if ((running == jobs)); then
        wait -n || failed=1
        running=$((running - 1))
    fi
    run "$target" "$time" &
    running=$((running + 1))
done
while ((running)); do
    wait -n || failed=1
    running=$((running - 1))
done
exit "$failed"
