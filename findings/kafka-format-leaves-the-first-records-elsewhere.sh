#!/usr/bin/env bash
# Apache Kafka 4.3.1 and 4.4.0 (kafka.tools.StorageTool)
#
# Until 4.3 `format` writes the first records of the metadata (the release's features, and SCRAM users that it is given) to
# `bootstrap.checkpoint`, beside `meta.properties`. 4.4 writes no such file: they are the snapshot at offset 0 of the metadata's own log,
# which only its owner may read. What lays out a node's folder by copying those two files, as images and test kits do, makes of 4.4 a node
# without its features.
#
# Seen in the folder, with each file's mode:
SEEN_4_3='bootstrap.checkpoint 644, meta.properties 644'
SEEN_4_4='__cluster_metadata-0/00000000000000000000-0000000000.checkpoint 400, meta.properties 644'

. "$(dirname "$0")/kafka.sh"
umask 022
seen() { # seen VERSION
    jars "kafka-$1" "org.apache.kafka:kafka_2.13:$1"
    cat >"$dir/$1.properties" <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:1
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:2,CONTROLLER://127.0.0.1:1
log.dirs=$dir/$1
END
    java -cp "$dir/kafka-$1/*" kafka.tools.StorageTool format -t 4L6g3nShT-eMCtK--X86sw -c "$dir/$1.properties" >"$dir/log" 2>&1 ||
        { cat "$dir/log" >&2; exit 1; }
    (cd "$dir/$1" && find . -type f -printf '%P %m\n' | LC_ALL=C sort | paste -sd, | sed 's/,/, /g')
}
for of in "4.3.1 $SEEN_4_3" "4.4.0 $SEEN_4_4"; do
    told=$(seen "${of%% *}")
    echo "${of%% *}: $told"
    [[ $told == "${of#* }" ]] || differs "${of%% *} is not as stated"
done
