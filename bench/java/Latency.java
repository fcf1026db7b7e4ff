import java.io.IOException;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.time.Instant;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;

/** How late records come to Java's consumer that begin with the time at which they were sent. */
public final class Latency {
    public static void main(String[] args) throws IOException {
        Properties named = Meter.named(args);
        long before = Long.parseLong(named.getProperty("before"));
        long[] delays = new long[Integer.parseInt(named.getProperty("records"))];
        int measured = 0;
        Meter meter = new Meter();
        try (KafkaConsumer<byte[], byte[]> consumer = Lap.consumer(named, "latest")) {
            while (measured < delays.length) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(60))) {
                    if (before > 0) {
                        before--;
                    } else if (measured < delays.length) {
                        meter.begin();
                        meter.add(null, record.value());
                        delays[measured++] = Math.max(0, micros() - ByteBuffer.wrap(record.value()).getLong());
                    }
                }
            }
            meter.end();
        }
        StringBuilder all = new StringBuilder();
        for (long delay : delays) {
            all.append(all.length() == 0 ? "" : ",").append(delay);
        }
        System.out.println(meter.lap(",\"delays\":[" + all + "]"));
    }

    private static long micros() {
        Instant now = Instant.now();
        return now.getEpochSecond() * 1_000_000 + now.getNano() / 1_000;
    }
}
