import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
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
    private static final OperatingSystemMXBean PROCESS =
        (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();

    public static void main(String[] args) throws IOException {
        Properties named = new Properties();
        for (int i = 1; i + 1 < args.length; i += 2) {
            named.setProperty(args[i].substring(2), args[i + 1]);
        }
        Properties config = new Properties();
        config.setProperty("bootstrap.servers", named.getProperty("bootstrap"));
        config.setProperty("enable.auto.commit", "false");
        config.setProperty("auto.offset.reset", "earliest");
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
        long records = Long.parseLong(named.getProperty("records"));
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.assign(partitions);
            read(consumer, records);
            consumer.seekToBeginning(partitions);
            System.out.println(read(consumer, records));
        }
    }

    private static String read(KafkaConsumer<byte[], byte[]> consumer, long wanted) throws IOException {
        long called = System.nanoTime();
        long first = 0;
        long cpu = 0;
        long records = 0;
        long bytes = 0;
        while (records < wanted) {
            var polled = consumer.poll(Duration.ofSeconds(60));
            if (first == 0) {
                first = System.nanoTime();
                cpu = PROCESS.getProcessCpuTime();
            }
            for (ConsumerRecord<byte[], byte[]> record : polled) {
                records++;
                bytes += length(record.key()) + length(record.value());
            }
        }
        cpu = PROCESS.getProcessCpuTime() - cpu;
        long end = System.nanoTime();
        return "{\"records\":" + records + ",\"bytes\":" + bytes + ",\"cpu_micros\":" + cpu / 1000
            + ",\"seconds\":" + (end - first) / 1e9 + ",\"seconds_of_all\":" + (end - called) / 1e9
            + ",\"vm_hwm_kib\":" + peak() + ",\"fetched\":null,\"log\":null}";
    }

    private static int length(byte[] bytes) {
        return bytes == null ? 0 : bytes.length;
    }

    private static long peak() throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (line.startsWith("VmHWM:")) {
                return Long.parseLong(line.replaceAll("[^0-9]", ""));
            }
        }
        throw new IOException("no VmHWM");
    }
}
