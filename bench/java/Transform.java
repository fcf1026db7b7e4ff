import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Exactly once, as Java's documentation has it: each poll is a transaction, which takes how far was read with it. It does
 * all as often as it is told to warm up, each time as another group, and then measures.
 */
public final class Transform {
    public static void main(String[] args) throws IOException {
        Properties named = Meter.named(args);
        Properties config = new Properties();
        config.setProperty("bootstrap.servers", named.getProperty("bootstrap"));
        config.setProperty("transactional.id", named.getProperty("name"));
        config.setProperty("linger.ms", "5");
        long before = Long.parseLong(named.getProperty("before"));
        try (KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            producer.initTransactions();
            for (long pass = 0; pass < before; pass++) {
                transform(named, producer, named.getProperty("name") + "-" + pass);
            }
            System.out.println(transform(named, producer, named.getProperty("name")));
        }
    }

    private static String transform(Properties named, KafkaProducer<byte[], byte[]> producer, String group)
            throws IOException {
        Properties config = new Properties();
        config.setProperty("bootstrap.servers", named.getProperty("bootstrap"));
        config.setProperty("group.id", group);
        config.setProperty("auto.offset.reset", "earliest");
        config.setProperty("enable.auto.commit", "false");
        config.setProperty("isolation.level", "read_committed");
        config.setProperty("max.poll.records", named.getProperty("of-each"));
        String to = named.getProperty("to");
        long wanted = Long.parseLong(named.getProperty("records"));
        long transactions = 0;
        Meter meter = new Meter();
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of(named.getProperty("from")));
            while (meter.records < wanted) {
                var polled = consumer.poll(Duration.ofSeconds(1));
                if (polled.isEmpty()) {
                    continue;
                }
                meter.begin();
                producer.beginTransaction();
                for (ConsumerRecord<byte[], byte[]> record : polled) {
                    meter.add(record.key(), record.value());
                    producer.send(new ProducerRecord<>(to, record.key(), record.value()));
                }
                producer.sendOffsetsToTransaction(polled.nextOffsets(), consumer.groupMetadata());
                producer.commitTransaction();
                transactions++;
            }
            meter.end();
            return meter.lap(",\"transactions\":" + transactions);
        }
    }
}
