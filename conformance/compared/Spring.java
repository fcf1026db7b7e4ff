import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.springframework.kafka.core.DefaultKafkaConsumerFactory;
import org.springframework.kafka.core.DefaultKafkaProducerFactory;
import org.springframework.kafka.core.KafkaTemplate;
import org.springframework.kafka.listener.ConcurrentMessageListenerContainer;
import org.springframework.kafka.listener.ContainerProperties;
import org.springframework.kafka.listener.DeadLetterPublishingRecoverer;
import org.springframework.kafka.listener.DefaultErrorHandler;
import org.springframework.kafka.listener.MessageListener;
import org.springframework.util.backoff.FixedBackOff;

/** Spring Kafka's container with a listener, all as it is by default; DEAD=1: dead letters after three attempts. */
public final class Spring {
    private static final Pattern WORK = Pattern.compile("\\[(\\d+),\"(\\w+)\",(\\d+)\\]");

    public static void main(String[] arguments) throws Exception {
        Map<String, String> env = System.getenv();
        Deserializer<String> work = (topic, data) -> {
            String text = new String(data);
            if (!WORK.matcher(text).matches())
                throw new SerializationException("not work");
            return text;
        };
        DefaultKafkaConsumerFactory<String, String> consumers = new DefaultKafkaConsumerFactory<>(
            Map.of("bootstrap.servers", env.get("BROKERS"), "auto.offset.reset", "earliest",
                "max.poll.interval.ms", env.getOrDefault("PATIENCE", "300000")),
            new StringDeserializer(), work);
        ContainerProperties properties = new ContainerProperties(env.get("TOPIC"));
        properties.setGroupId(env.get("GROUP"));
        properties.setMessageListener((MessageListener<String, String>) Spring::handle);
        ConcurrentMessageListenerContainer<String, String> container =
            new ConcurrentMessageListenerContainer<>(consumers, properties);
        container.setConcurrency(Integer.parseInt(env.getOrDefault("CONCURRENCY", "1")));
        if (env.containsKey("DEAD")) {
            KafkaTemplate<String, String> template = new KafkaTemplate<>(new DefaultKafkaProducerFactory<>(
                Map.of("bootstrap.servers", env.get("BROKERS")), new StringSerializer(), new StringSerializer()));
            container.setCommonErrorHandler(
                new DefaultErrorHandler(new DeadLetterPublishingRecoverer(template), new FixedBackOff(500, 2)));
        }
        // As a context does when it is closed by SIGTERM.
        Runtime.getRuntime().addShutdownHook(new Thread(container::stop));
        container.start();
        Thread.currentThread().join();
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
