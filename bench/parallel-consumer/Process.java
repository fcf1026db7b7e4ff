import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.ParallelConsumerOptions.CommitMode;
import io.confluent.parallelconsumer.ParallelConsumerOptions.ProcessingOrder;
import io.confluent.parallelconsumer.ParallelStreamProcessor;
import io.confluent.parallelconsumer.PollContext;
import io.confluent.parallelconsumer.internal.AbstractParallelEoSStreamProcessor;
import io.confluent.parallelconsumer.internal.DrainingCloseable.DrainingMode;
import io.confluent.parallelconsumer.reactor.ReactorProcessor;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import reactor.core.publisher.Mono;

/**
 * Confluent's parallel-consumer, as its documentation has it: handlers that wait are Reactor's, which hold no thread; those that do
 * not are run by its pool of threads. It handles all as often as it is told to warm up, without waits, each time in another group,
 * and then measures.
 */
public final class Process {
    private static final Duration PATIENCE = Duration.ofMinutes(5);

    private final Meter meter = new Meter();
    private final AtomicBoolean begun = new AtomicBoolean();
    private final AtomicLong ended = new AtomicLong();
    private final AtomicLong bytes = new AtomicLong();
    private final AtomicLong nanos = new AtomicLong();
    private final CountDownLatch all = new CountDownLatch(1);
    private final long wanted;
    private final Duration wait;

    private Process(long wanted, Duration wait) {
        this.wanted = wanted;
        this.wait = wait;
    }

    public static void main(String[] args) throws IOException, InterruptedException {
        Properties named = Meter.named(args);
        long wanted = Long.parseLong(named.getProperty("records"));
        long before = Long.parseLong(named.getProperty("before"));
        Duration wait = Duration.ofNanos(1000 * Long.parseLong(named.getProperty("wait-micros")));
        for (long pass = 0; pass < before; pass++) {
            // With a wait that is too short to count, so that it is the same code that becomes warm.
            Duration none = wait.isZero() ? wait : Duration.ofNanos(1);
            new Process(wanted, none).run(named, named.getProperty("group") + "-" + pass);
        }
        System.out.println(new Process(wanted, wait).run(named, named.getProperty("group")));
        // Its pools' threads do not all end by themselves.
        System.exit(0);
    }

    private String run(Properties named, String group) throws IOException, InterruptedException {
        Properties config = new Properties();
        config.setProperty("bootstrap.servers", named.getProperty("bootstrap"));
        config.setProperty("group.id", group);
        config.setProperty("auto.offset.reset", "earliest");
        config.setProperty("enable.auto.commit", "false");
        var consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        boolean isByKey = named.getProperty("order").equals("key");
        var options = ParallelConsumerOptions.<byte[], byte[]>builder()
            .consumer(consumer)
            .ordering(isByKey ? ProcessingOrder.KEY : ProcessingOrder.PARTITION)
            .maxConcurrency(Integer.parseInt(named.getProperty("concurrency")))
            .commitMode(CommitMode.PERIODIC_CONSUMER_ASYNCHRONOUS)
            .build();
        AbstractParallelEoSStreamProcessor<byte[], byte[]> processor;
        if (wait.isZero()) {
            var pool = (AbstractParallelEoSStreamProcessor<byte[], byte[]>)
                ParallelStreamProcessor.createEosStreamProcessor(options);
            processor = pool;
            processor.subscribe(List.of(named.getProperty("topic")));
            ((ParallelStreamProcessor<byte[], byte[]>) pool).poll(context -> {
                begin(context);
                end();
            });
        } else {
            var reactor = new ReactorProcessor<byte[], byte[]>(options);
            processor = reactor;
            processor.subscribe(List.of(named.getProperty("topic")));
            reactor.react(context -> {
                begin(context);
                long start = System.nanoTime();
                return Mono.delay(wait).doOnNext(over -> {
                    nanos.addAndGet(System.nanoTime() - start);
                    end();
                });
            });
        }
        if (!all.await(PATIENCE.toMillis(), TimeUnit.MILLISECONDS)) {
            throw new IOException("it handled " + ended.get() + " of " + wanted);
        }
        // It commits what is done.
        processor.close(PATIENCE, DrainingMode.DRAIN);
        meter.end();
        meter.records = ended.get();
        meter.bytes = bytes.get();
        return meter.lap(",\"handling_micros\":" + nanos.get() / 1e3 / meter.records);
    }

    private void begin(PollContext<byte[], byte[]> context) {
        if (begun.compareAndSet(false, true)) {
            meter.begin();
        }
        ConsumerRecord<byte[], byte[]> record = context.getSingleConsumerRecord();
        bytes.addAndGet(record.key().length + record.value().length);
    }

    private void end() {
        if (ended.incrementAndGet() == wanted) {
            all.countDown();
        }
    }
}
