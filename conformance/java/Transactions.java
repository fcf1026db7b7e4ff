import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Java's transactional producers, by name. Each line of standard input is a call of one of them, and is answered by a line: ok,
 * or the class of what was thrown. A name is a producer's own; its transactional id is said when it is made.
 */
public final class Transactions {
    private static final Map<String, KafkaProducer<String, String>> PRODUCERS = new HashMap<>();

    public static void main(String[] arguments) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine())
            System.out.println(answer(arguments[0], line.split(" ")));
        // Without a clean end: what is open stays open.
        Runtime.getRuntime().halt(0);
    }

    private static String answer(String bootstrap, String[] asked) throws InterruptedException {
        KafkaProducer<String, String> producer = PRODUCERS.get(asked[1]);
        try {
            switch (asked[0]) {
                case "init" -> PRODUCERS.computeIfAbsent(asked[1], name -> make(bootstrap, asked[2])).initTransactions();
                case "begin" -> producer.beginTransaction();
                case "send" -> producer.send(new ProducerRecord<>(asked[2], 0, null, asked[3])).get();
                case "offsets" -> {
                    TopicPartition partition = new TopicPartition(asked[3], 0);
                    OffsetAndMetadata offset = new OffsetAndMetadata(Long.parseLong(asked[4]));
                    producer.sendOffsetsToTransaction(Map.of(partition, offset), new ConsumerGroupMetadata(asked[2]));
                }
                case "commit" -> producer.commitTransaction();
                case "abort" -> producer.abortTransaction();
                default -> throw new IllegalArgumentException(asked[0]);
            }
            return "ok";
        } catch (ExecutionException error) {
            return error.getCause().getClass().getSimpleName();
        } catch (RuntimeException error) {
            return error.getClass().getSimpleName();
        }
    }

    private static KafkaProducer<String, String> make(String bootstrap, String id) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        properties.put("transactional.id", id);
        return new KafkaProducer<>(properties, new StringSerializer(), new StringSerializer());
    }
}
