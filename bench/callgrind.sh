#!/bin/sh
# Instructions per record, and per fetch response, counted by callgrind: each program of the one binary runs over two amounts, and the
# difference is divided by the difference, so that what a start costs is not in it. Needs valgrind. About a minute.
set -eu
cd "$(dirname "$0")/.."
: "${CARGO_TARGET_DIR:=$(pwd)/target}"
export CARGO_TARGET_DIR
# With the packages that are built without a name, so that what they have in common is built once: CI builds them, too.
cargo build --release --quiet -p ottla-protocol -p ottla-core -p ottla -p ottla-broker -p ottla-cli -p ottla-instructions
programs=$CARGO_TARGET_DIR/release/instructions

count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$@" 2>&1 >/dev/null |
        sed -n 's/.*Collected : //p'
}

# NAME, how many there are between the two amounts, a program with the smaller and the larger, and of what: records.
print() {
    name=$1 records=$2 few=$3 many=$4 what=${5:-record}
    less=$(count $few)
    more=$(count $many)
    echo "$name: $(((more - less) / records)) instructions/$what"
}

print "walk" 100000 "$programs walk 10" "$programs walk 20"
print "walk and CRC" 100000 "$programs walk 10 crc" "$programs walk 20 crc"
print "consumer, iterator" 200000 "$programs consume poll 100000" "$programs consume poll 300000"
print "consumer, recv" 200000 "$programs consume recv 100000" "$programs consume recv 300000"
for order in partition key; do
    print "processor, by $order" 100000 "$programs consume $order 50000" "$programs consume $order 150000"
done
# Of a long copy callgrind counts every byte where the C library has the processor repeat an instruction: it is not to.
export GLIBC_TUNABLES=glibc.cpu.x86_rep_movsb_threshold=1073741824
for partitions in 1 12; do
    for what in dropped awaited; do
        print "producer, $what, $partitions partitions" 200000 \
            "$programs produce $what $partitions 100000" "$programs produce $what $partitions 300000"
    done
done
unset GLIBC_TUNABLES
for partitions in 10 5000; do
    print "turn, $partitions partitions" 500 \
        "$programs turn assigned $partitions 500" "$programs turn assigned $partitions 1000" response
    print "turn of a member, $partitions partitions" 500 \
        "$programs turn member $partitions 500" "$programs turn member $partitions 1000" response
done
