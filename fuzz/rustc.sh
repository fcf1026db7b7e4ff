#!/bin/sh
# In the place of rustc, for cargo: what is ours is compiled with coverage and the address sanitizer, which stable toolchains have, too,
# and what others wrote as in any other build, whose artifacts serve this one.
case ${CARGO_PKG_NAME-} in
ottla*)
    # Not for all: there are build scripts that ask for it.
    export RUSTC_BOOTSTRAP=1
    # shellcheck disable=SC2086
    exec "$@" $OTTLA_FUZZ_FLAGS
    ;;
*) exec "$@" ;;
esac
