import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.ParallelConsumerOptions.ProcessingOrder;
import io.confluent.parallelconsumer.ParallelStreamProcessor;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

/** parallel-consumer, all as it is by default but for ORDER: KEY, PARTITION or UNORDERED. */
public final class Parallel {
    private static final Pattern WORK = Pattern.compile("\\[(\\d+),\"(\\w+)\",(\\d+)\\]");

    public static void main(String[] arguments) throws Exception {
        Map<String, String> env = System.getenv();
        Deserializer<String> work = (topic, data) -> {
            String text = new String(data);
            if (!WORK.matcher(text).matches())
                throw new SerializationException("not work");
            return text;
        };
        KafkaConsumer<String, String> consumer = new KafkaConsumer<>(
            Map.of("bootstrap.servers", env.get("BROKERS"), "group.id", env.get("GROUP"), "auto.offset.reset", "earliest",
                "enable.auto.commit", "false", "max.poll.interval.ms", env.getOrDefault("PATIENCE", "300000")),
            new StringDeserializer(), work);
        ParallelConsumerOptions.ParallelConsumerOptionsBuilder<String, String> options =
            ParallelConsumerOptions.<String, String>builder().consumer(consumer);
        if (env.containsKey("ORDER"))
            options.ordering(ProcessingOrder.valueOf(env.get("ORDER")));
        ParallelStreamProcessor<String, String> processor = ParallelStreamProcessor.createEosStreamProcessor(options.build());
        processor.subscribe(List.of(env.get("TOPIC")));
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            long asked = System.nanoTime();
            try {
                if (env.containsKey("DRAIN"))
                    processor.closeDrainFirst();
                else
                    processor.close();
            } catch (Throwable failure) {
                System.out.println("close " + failure);
            }
            System.out.println("closed " + (System.nanoTime() - asked) / 1_000_000 + " ms");
        }));
        processor.poll(context -> handle(context.getSingleConsumerRecord()));
        while (!processor.isClosedOrFailed())
            Thread.sleep(100);
        System.out.println("failed");
    }

    private static void handle(ConsumerRecord<String, String> record) {
        String where = record.partition() + " " + record.offset() + " " + record.key();
        System.out.println("begin " + where);
        Matcher work = WORK.matcher(record.value());
        work.matches();
        try {
            Thread.sleep(Long.parseLong(work.group(3)));
        } catch (InterruptedException interrupted) {
            System.out.println("interrupted " + where);
            throw new IllegalStateException(interrupted);
        }
        boolean fails = work.group(2).equals("fail");
        System.out.println((fails ? "fail " : "end ") + where);
        if (fails)
            throw new IllegalStateException("refused");
    }
}
