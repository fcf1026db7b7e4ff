import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.StringDeserializer;

/** The Java client as a member of a group: it is told, and prints, what the members in Rust are told and print. */
public final class Member {
    public static void main(String[] args) throws Exception {
        Properties named = new Properties();
        for (int i = 0; i + 1 < args.length; i += 2) {
            named.setProperty(args[i].substring(2), args[i + 1]);
        }
        Properties config = new Properties();
        config.setProperty("bootstrap.servers", named.getProperty("bootstrap"));
        config.setProperty("group.id", named.getProperty("group"));
        config.setProperty("group.protocol", named.getProperty("protocol"));
        config.setProperty("auto.offset.reset", "earliest");
        config.setProperty("enable.auto.commit", "true");
        config.setProperty("auto.commit.interval.ms", named.getProperty("commit-millis"));
        if (named.getProperty("protocol").equals("classic")) {
            config.setProperty("partition.assignment.strategy",
                "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");
            config.setProperty("session.timeout.ms", named.getProperty("session-millis"));
            config.setProperty("heartbeat.interval.ms", named.getProperty("heartbeat-millis"));
        }
        BufferedReader orders = new BufferedReader(new InputStreamReader(System.in));
        try (KafkaConsumer<String, String> consumer =
                new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            if (orders.readLine() == null) {
                return;
            }
            Thread listener = new Thread(() -> obey(orders, consumer));
            listener.setDaemon(true);
            listener.start();
            consumer.subscribe(List.of(named.getProperty("topic")));
            read(consumer);
        }
    }

    private static void read(KafkaConsumer<String, String> consumer) {
        StringBuilder lines = new StringBuilder();
        PrintStream out = System.out;
        try {
            while (true) {
                lines.setLength(0);
                for (var record : consumer.poll(Duration.ofMillis(100))) {
                    lines.append(record.partition()).append(' ').append(record.value()).append(' ')
                        .append(System.currentTimeMillis()).append('\n');
                }
                out.print(lines);
                out.flush();
            }
        } catch (WakeupException told) {
            // To leave: the consumer is closed by who opened it.
        }
    }

    /** The second line ends the loop, the end of the input the process. */
    private static void obey(BufferedReader orders, KafkaConsumer<String, String> consumer) {
        try {
            if (orders.readLine() != null) {
                consumer.wakeup();
                orders.readLine();
            }
        } catch (java.io.IOException gone) {
            // As at the end of the input.
        }
        Runtime.getRuntime().halt(0);
    }
}
