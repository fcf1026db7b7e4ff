import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Java's producer as the bench measures it, with every default but the codec: records as fast as they go. It writes as many
 * as it is told to warm up, and then measures.
 */
public final class Write {
    public static void main(String[] args) throws IOException {
        Properties named = Meter.named(args);
        Properties config = new Properties();
        config.setProperty("bootstrap.servers", named.getProperty("bootstrap"));
        config.setProperty("compression.type", named.getProperty("codec"));
        config.setProperty("acks", "all");
        config.setProperty("linger.ms", "5");
        byte[][] values = Files.readAllLines(Path.of(named.getProperty("payloads"))).stream()
            .map(line -> line.getBytes(StandardCharsets.UTF_8)).toArray(byte[][]::new);
        String topic = named.getProperty("topic");
        try (KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            send(producer, topic, values, Long.parseLong(named.getProperty("before")));
            System.out.println(send(producer, topic, values, Long.parseLong(named.getProperty("records"))));
        }
    }

    /** Returns when all are acknowledged. */
    private static String send(KafkaProducer<byte[], byte[]> producer, String topic, byte[][] values, long count)
            throws IOException {
        Meter meter = new Meter();
        meter.begin();
        while (meter.records < count) {
            byte[] value = values[(int) (meter.records % values.length)];
            producer.send(new ProducerRecord<>(topic, value));
            meter.add(null, value);
        }
        producer.flush();
        meter.end();
        return meter.lap("");
    }
}
