import java.util.HexFormat;
import java.util.Map;
import java.util.StringJoiner;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.connect.runtime.ConnectMetrics;
import org.apache.kafka.connect.runtime.SinkConnectorConfig;
import org.apache.kafka.connect.runtime.errors.DeadLetterQueueReporter;
import org.apache.kafka.connect.runtime.errors.ErrorHandlingMetrics;
import org.apache.kafka.connect.runtime.errors.ProcessingContext;
import org.apache.kafka.connect.runtime.errors.Stage;
import org.apache.kafka.connect.runtime.standalone.StandaloneConfig;
import org.apache.kafka.connect.sink.SinkTask;
import org.apache.kafka.connect.util.ConnectorTaskId;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.kafka.annotation.BackOff;
import org.springframework.kafka.annotation.DltHandler;
import org.springframework.kafka.annotation.EnableKafkaRetryTopic;
import org.springframework.kafka.annotation.KafkaListener;
import org.springframework.kafka.annotation.RetryableTopic;
import org.springframework.kafka.config.ConcurrentKafkaListenerContainerFactory;
import org.springframework.kafka.core.DefaultKafkaConsumerFactory;
import org.springframework.kafka.core.DefaultKafkaProducerFactory;
import org.springframework.kafka.core.KafkaTemplate;
import org.springframework.kafka.listener.ContainerProperties;
import org.springframework.kafka.listener.DeadLetterPublishingRecoverer;
import org.springframework.kafka.listener.DefaultErrorHandler;
import org.springframework.kafka.listener.KafkaMessageListenerContainer;
import org.springframework.kafka.listener.MessageListener;
import org.springframework.kafka.support.KafkaHeaders;
import org.springframework.messaging.handler.annotation.Header;
import org.springframework.scheduling.TaskScheduler;
import org.springframework.scheduling.concurrent.ThreadPoolTaskScheduler;
import org.springframework.util.backoff.FixedBackOff;

/**
 * Spring's dead letters and retry topics, and Connect's reporter. Arguments: the brokers, and the beginning of all names.
 *
 * <p>NAME-failing: each record is handed to a listener that fails, twice, then is in NAME-failing-dlt. Connect's reporter, of the
 * connector NAME, writes it to NAME-connect, too. NAME-retried: each record fails there and in the retry topics behind it, until it
 * is in NAME-retried-dlt. Whatever is in NAME-failing-dlt and NAME-ottla is printed as Spring's listeners are told of it:
 *
 * <pre>letter TOPIC ORIGINAL-TOPIC PARTITION OFFSET TIMESTAMP TIMESTAMP-TYPE GROUP ATTEMPT EXCEPTION CAUSE MESSAGE</pre>
 *
 * and so is what the retry topics hand out, and the dead letters behind them, with the time at which that was:
 *
 * <pre>
 * retried TOPIC ATTEMPT TIME
 * dead TOPIC ORIGINAL-TOPIC PARTITION OFFSET TIMESTAMP GROUP MESSAGE</pre>
 */
public final class DeadLetters {
    public static void main(String[] arguments) throws Exception {
        System.setProperty("brokers", arguments[0]);
        System.setProperty("named", arguments[1]);
        new AnnotationConfigApplicationContext(Application.class);
        while (System.in.read() != -1) { }
        // Nothing of it is to be closed well.
        Runtime.getRuntime().halt(0);
    }

    @Configuration(proxyBeanMethods = false)
    @EnableKafkaRetryTopic
    public static class Application {
        private final String brokers = System.getProperty("brokers");
        private final String named = System.getProperty("named");

        @Bean
        DefaultKafkaConsumerFactory<byte[], byte[]> consumers() {
            Map<String, Object> properties = Map.of("bootstrap.servers", brokers, "auto.offset.reset", "earliest",
                "allow.auto.create.topics", false, "fetch.max.wait.ms", 100);
            return new DefaultKafkaConsumerFactory<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        }

        @Bean
        KafkaTemplate<byte[], byte[]> template() {
            return new KafkaTemplate<>(new DefaultKafkaProducerFactory<>(Map.of("bootstrap.servers", brokers),
                new ByteArraySerializer(), new ByteArraySerializer()));
        }

        @Bean
        ConcurrentKafkaListenerContainerFactory<byte[], byte[]> kafkaListenerContainerFactory() {
            ConcurrentKafkaListenerContainerFactory<byte[], byte[]> factory = new ConcurrentKafkaListenerContainerFactory<>();
            factory.setConsumerFactory(consumers());
            return factory;
        }

        @Bean
        TaskScheduler scheduler() {
            return new ThreadPoolTaskScheduler();
        }

        @Bean
        Listeners listeners() {
            return new Listeners();
        }

        @Bean
        KafkaMessageListenerContainer<byte[], byte[]> failing(KafkaTemplate<byte[], byte[]> template) {
            ContainerProperties properties = new ContainerProperties(named + "-failing");
            properties.setGroupId(named);
            properties.setDeliveryAttemptHeader(true);
            Connect connect = new Connect(brokers, named);
            properties.setMessageListener((MessageListener<byte[], byte[]>) record -> {
                connect.report(record);
                throw new IllegalStateException("no, ß");
            });
            KafkaMessageListenerContainer<byte[], byte[]> container =
                new KafkaMessageListenerContainer<>(consumers(), properties);
            container.setCommonErrorHandler(
                new DefaultErrorHandler(new DeadLetterPublishingRecoverer(template), new FixedBackOff(0, 1)));
            return container;
        }
    }

    public static class Listeners {
        @KafkaListener(topics = {"${named}-failing-dlt", "${named}-ottla"}, groupId = "${named}-letters")
        void letter(ConsumerRecord<byte[], byte[]> record,
                @Header(KafkaHeaders.DLT_ORIGINAL_TOPIC) String topic,
                @Header(KafkaHeaders.DLT_ORIGINAL_PARTITION) int partition,
                @Header(KafkaHeaders.DLT_ORIGINAL_OFFSET) long offset,
                @Header(KafkaHeaders.DLT_ORIGINAL_TIMESTAMP) long time,
                @Header(KafkaHeaders.DLT_ORIGINAL_TIMESTAMP_TYPE) String type,
                @Header(KafkaHeaders.DLT_ORIGINAL_CONSUMER_GROUP) String group,
                @Header(KafkaHeaders.DELIVERY_ATTEMPT) int attempt,
                @Header(KafkaHeaders.DLT_EXCEPTION_FQCN) String exception,
                @Header(KafkaHeaders.DLT_EXCEPTION_CAUSE_FQCN) String cause,
                @Header(KafkaHeaders.DLT_EXCEPTION_MESSAGE) String message) {
            print("letter", record.topic(), topic, partition, offset, time, type, group, attempt, exception, cause, message);
        }

        @RetryableTopic(attempts = "3", backOff = @BackOff(delay = 100, multiplier = 2), autoCreateTopics = "false",
            kafkaTemplate = "template")
        @KafkaListener(topics = "${named}-retried", groupId = "${named}-retried")
        void retried(ConsumerRecord<byte[], byte[]> record) {
            org.apache.kafka.common.header.Header attempts = record.headers().lastHeader("retry_topic-attempts");
            String attempt = attempts == null ? "none" : HexFormat.of().formatHex(attempts.value());
            print("retried", record.topic(), attempt, System.currentTimeMillis());
            throw new IllegalStateException("not yet");
        }

        @DltHandler
        void dead(ConsumerRecord<byte[], byte[]> record,
                @Header(KafkaHeaders.ORIGINAL_TOPIC) String topic,
                @Header(KafkaHeaders.ORIGINAL_PARTITION) int partition,
                @Header(KafkaHeaders.ORIGINAL_OFFSET) long offset,
                @Header(KafkaHeaders.ORIGINAL_TIMESTAMP) long time,
                @Header(KafkaHeaders.ORIGINAL_CONSUMER_GROUP) String group,
                @Header(KafkaHeaders.EXCEPTION_MESSAGE) String message) {
            print("dead", record.topic(), topic, partition, offset, time, group, message);
        }
    }

    /** What Connect does with a record that a task reports. */
    private static final class Connect {
        private final DeadLetterQueueReporter reporter;

        Connect(String brokers, String named) {
            ConnectorTaskId task = new ConnectorTaskId(named, 0);
            Map<String, String> worker = Map.of("bootstrap.servers", brokers, "offset.storage.file.filename", "/dev/null",
                "key.converter", "org.apache.kafka.connect.json.JsonConverter",
                "value.converter", "org.apache.kafka.connect.json.JsonConverter");
            SinkConnectorConfig connector = new SinkConnectorConfig(null, Map.of("name", named,
                "connector.class", "any", "topics", named + "-failing", "errors.tolerance", "all",
                "errors.deadletterqueue.topic.name", named + "-connect",
                "errors.deadletterqueue.context.headers.enable", "true"));
            Map<String, Object> producer = Map.of("bootstrap.servers", brokers,
                "key.serializer", ByteArraySerializer.class, "value.serializer", ByteArraySerializer.class);
            reporter = DeadLetterQueueReporter.createAndSetup(Map.of("bootstrap.servers", brokers), task, connector, producer,
                new ErrorHandlingMetrics(task, new ConnectMetrics("worker", new StandaloneConfig(worker), Time.SYSTEM, "cluster")));
        }

        /** Once: the first time that it is handed out. */
        void report(ConsumerRecord<byte[], byte[]> record) {
            if (record.headers().lastHeader(KafkaHeaders.DELIVERY_ATTEMPT).value()[3] != 1)
                return;
            ConsumerRecord<byte[], byte[]> original = new ConsumerRecord<>(record.topic(), record.partition(), record.offset(),
                record.timestamp(), record.timestampType(), record.serializedKeySize(), record.serializedValueSize(),
                record.key(), record.value(), new RecordHeaders(record.headers().toArray()),
                record.leaderEpoch());
            original.headers().remove(KafkaHeaders.DELIVERY_ATTEMPT);
            ProcessingContext<ConsumerRecord<byte[], byte[]>> context = new ProcessingContext<>(original);
            context.currentContext(Stage.TASK_PUT, SinkTask.class);
            context.error(new IllegalStateException("no, ß"));
            reporter.report(context);
        }
    }

    private static synchronized void print(Object... words) {
        StringJoiner line = new StringJoiner("\t");
        for (Object word : words)
            line.add(word.toString());
        System.out.println(line);
    }
}
