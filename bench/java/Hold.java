import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** The Java client with very many partitions: it is told, and prints, what the ones in Rust are told and print. */
public final class Hold implements ConsumerRebalanceListener {
    private final AtomicInteger owned = new AtomicInteger();
    private boolean isNextFirst = true;

    public static void main(String[] args) throws Exception {
        Properties named = new Properties();
        // Behind the verb, which Java's programs have no need of.
        for (int i = 1; i + 1 < args.length; i += 2) {
            named.setProperty(args[i].substring(2), args[i + 1]);
        }
        String way = named.getProperty("way");
        String topic = named.getProperty("topic");
        Properties config = new Properties();
        config.setProperty("bootstrap.servers", named.getProperty("bootstrap"));
        config.setProperty("auto.offset.reset", "earliest");
        config.setProperty("enable.auto.commit", String.valueOf(!way.equals("assigned")));
        if (!way.equals("assigned")) {
            config.setProperty("group.id", named.getProperty("group"));
            config.setProperty("group.protocol", way);
        }
        if (way.equals("classic")) {
            config.setProperty("partition.assignment.strategy",
                "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");
            config.setProperty("heartbeat.interval.ms", named.getProperty("heartbeat-millis"));
        }
        Thread listener = new Thread(Hold::obey);
        listener.setDaemon(true);
        listener.start();
        Hold hold = new Hold();
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            if (way.equals("assigned")) {
                int partitions = Integer.parseInt(named.getProperty("partitions"));
                consumer.assign(IntStream.range(0, partitions).mapToObj(p -> new TopicPartition(topic, p)).toList());
            } else {
                consumer.subscribe(List.of(topic), hold);
            }
            hold.read(consumer, Long.parseLong(named.getProperty("records")));
        }
    }

    private void read(KafkaConsumer<byte[], byte[]> consumer, long all) {
        long seen = 0;
        while (true) {
            int count = consumer.poll(Duration.ofSeconds(1)).count();
            if (count == 0) {
                continue;
            }
            if (isNextFirst) {
                isNextFirst = false;
                tell("record");
            }
            if (seen < all && seen + count >= all) {
                tell("all");
            }
            seen += count;
        }
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        moved(partitions.size());
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        moved(-partitions.size());
    }

    private void moved(int partitions) {
        if (partitions == 0) {
            return;
        }
        tell("owns-" + owned.addAndGet(partitions));
        isNextFirst = true;
    }

    /** Each line asks for the garbage to be collected; the end of the input ends the process. */
    private static void obey() {
        try (BufferedReader orders = new BufferedReader(new InputStreamReader(System.in))) {
            while (orders.readLine() != null) {
                System.gc();
                System.gc();
                tell("collected");
            }
        } catch (IOException gone) {
            // As at the end of the input.
        }
        Runtime.getRuntime().halt(0);
    }

    private static synchronized void tell(String what) {
        System.out.println(what + " " + System.currentTimeMillis());
    }
}
