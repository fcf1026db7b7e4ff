import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * The Java client as the bench measures it: all partitions by hand, from the beginning, every default but the sizes that the
 * floor has too. It reads the topic once to warm up, and then measures.
 */
public final class Lap {
    public static void main(String[] args) throws IOException {
        Properties named = Meter.named(args);
        long records = Long.parseLong(named.getProperty("records"));
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(named, "earliest")) {
            read(consumer, records);
            consumer.seekToBeginning(consumer.assignment());
            System.out.println(read(consumer, records));
        }
    }

    /** Of all partitions, from their beginnings or their ends. */
    static KafkaConsumer<byte[], byte[]> consumer(Properties named, String from) {
        Properties config = new Properties();
        config.setProperty("bootstrap.servers", named.getProperty("bootstrap"));
        config.setProperty("enable.auto.commit", "false");
        config.setProperty("auto.offset.reset", from);
        config.setProperty("fetch.max.bytes", named.getProperty("fetch-max-bytes"));
        config.setProperty("max.partition.fetch.bytes", Integer.toString(1 << 20));
        if (named.getProperty("authority") != null) {
            config.setProperty("security.protocol", "SSL");
            config.setProperty("ssl.truststore.type", "PEM");
            config.setProperty("ssl.truststore.location", named.getProperty("authority"));
        }
        List<TopicPartition> partitions = new ArrayList<>();
        for (int partition = 0; partition < Integer.parseInt(named.getProperty("partitions")); partition++) {
            partitions.add(new TopicPartition(named.getProperty("topic"), partition));
        }
        KafkaConsumer<byte[], byte[]> consumer =
            new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        consumer.assign(partitions);
        return consumer;
    }

    private static String read(KafkaConsumer<byte[], byte[]> consumer, long wanted) throws IOException {
        Meter meter = new Meter();
        while (meter.records < wanted) {
            var polled = consumer.poll(Duration.ofSeconds(60));
            meter.begin();
            for (ConsumerRecord<byte[], byte[]> record : polled) {
                meter.add(record.key(), record.value());
            }
        }
        meter.end();
        return meter.lap("");
    }
}
