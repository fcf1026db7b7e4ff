#!/usr/bin/env bash
# Confluent's parallel-consumer 0.5.3.3 (Java 17), Kafka 4.4.0
#
# A rebalance does not wait for the functions that run. When a second member joins, the first gives up a partition at once, and the
# second begins with the record that the first is still working on: under ProcessingOrder.KEY, the default, two functions run for
# one key, and for one record, at the same time. (Java's consumer, and with it Spring's container, gives up no partition before
# the loop's body returns to `poll`, and waits up to max.poll.interval.ms for that.)
#
# Seen:
SEEN='one record was with two members at once'

. "$(dirname "$0")/kafka.sh"
start_kafka
jars pc io.confluent.parallelconsumer:parallel-consumer-core:0.5.3.3 org.slf4j:slf4j-nop:2.0.13
cat >"$dir/Moved.java" <<'EOF'
import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.ParallelStreamProcessor;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public final class Moved {
    private static final Set<String> WORKED_ON = ConcurrentHashMap.newKeySet();

    public static void main(String[] arguments) throws Exception {
        String brokers = arguments[0], topic = arguments[1];
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", brokers))) {
            admin.createTopics(List.of(new NewTopic(topic, 2, (short) 1))).all().get();
        }
        try (var producer = new KafkaProducer<>(Map.of("bootstrap.servers", brokers), new StringSerializer(), new StringSerializer())) {
            for (int partition = 0; partition < 2; partition++)
                producer.send(new ProducerRecord<>(topic, partition, "key", "value")).get();
        }
        member(brokers, topic);
        while (WORKED_ON.size() < 2)
            Thread.sleep(100);
        member(brokers, topic);
        Thread.sleep(60_000);
        System.out.println("each record was with one member");
        Runtime.getRuntime().halt(0);
    }

    private static void member(String brokers, String topic) {
        var consumer = new KafkaConsumer<>(Map.of("bootstrap.servers", brokers, "group.id", topic, "auto.offset.reset", "earliest",
            "enable.auto.commit", "false"), new StringDeserializer(), new StringDeserializer());
        var processor = ParallelStreamProcessor.createEosStreamProcessor(
            ParallelConsumerOptions.<String, String>builder().consumer(consumer).build());
        processor.subscribe(List.of(topic));
        processor.poll(context -> {
            String record = context.getSingleConsumerRecord().partition() + "@" + context.getSingleConsumerRecord().offset();
            if (!WORKED_ON.add(record)) {
                System.out.println("one record was with two members at once");
                Runtime.getRuntime().halt(0);
            }
            try {
                Thread.sleep(50_000);
            } catch (InterruptedException interrupted) {
                throw new IllegalStateException(interrupted);
            } finally {
                WORKED_ON.remove(record);
            }
        });
    }
}
EOF
javac -cp "$dir/pc/*" -d "$dir" "$dir/Moved.java"
seen=$(java -cp "$dir/pc/*:$dir" Moved "$brokers" "moved-$$" | sort -u) # both partitions may show it
echo "$seen"
[[ $seen == "$SEEN" ]] || differs "not as stated"
