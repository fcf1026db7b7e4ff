# To be sourced by the scripts here. It needs bash, Java 17 and Maven.
#
#   $dir           a folder of the script's own: it goes at the end, with each process that was started from its shell
#   jars FOLDER GROUP:ARTIFACT:VERSION...    fetches these and what they need, from Maven Central
#   start_kafka    one node of Apache Kafka 4.4.0 on free ports; $brokers is where it is. With KAFKA=HOST:PORT, that one instead
#   differs TEXT   ends with a failure: what was seen is not what the script states

set -euo pipefail
dir=$(mktemp -d)
trap 'status=$?; kill -9 $(jobs -p) 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"; exit $status' EXIT

jars() {
    local folder=$dir/$1 name group artifact version
    shift
    mkdir -p "$folder"
    {
        echo '<project><modelVersion>4.0.0</modelVersion><groupId>a</groupId><artifactId>a</artifactId><version>1</version><dependencies>'
        for name in "$@"; do
            IFS=: read -r group artifact version <<<"$name"
            echo "<dependency><groupId>$group</groupId><artifactId>$artifact</artifactId><version>$version</version></dependency>"
        done
        echo '</dependencies></project>'
    } >"$folder/pom.xml"
    mvn -q -B -f "$folder/pom.xml" dependency:copy-dependencies -DoutputDirectory="$folder" -DincludeScope=runtime >"$folder/log" ||
        { cat "$folder/log"; exit 1; }
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_port() {
    local port
    while port=$((20000 + RANDOM % 12000)); listens "$port"; do :; done
    echo "$port"
}

start_kafka() {
    if [[ -n ${KAFKA-} ]]; then
        brokers=$KAFKA
        return
    fi
    jars kafka org.apache.kafka:kafka_2.13:4.4.0
    local port controller
    port=$(free_port) controller=$(free_port)
    brokers=127.0.0.1:$port
    cat >"$dir/kafka.properties" <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$dir/data
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
EOF
    local java=(java -Xmx400m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$dir/kafka/*")
    "${java[@]}" kafka.tools.StorageTool format -t 4L6g3nShT-eMCtK--X86sw -c "$dir/kafka.properties" &>"$dir/kafka.log"
    "${java[@]}" kafka.Kafka "$dir/kafka.properties" &>>"$dir/kafka.log" &
    until listens "$port"; do
        kill -0 $! 2>/dev/null || { tail "$dir/kafka.log"; exit 1; }
        sleep 0.5
    done
}

differs() {
    echo "DIFFERS: $*"
    exit 1
}
