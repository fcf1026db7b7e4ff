// Writes the batches that tests/records.rs reads, as Kafka's own classes build them.
//   java -cp 'kafka-clients-4.3.1.jar:lz4-java-*.jar:snappy-java-*.jar:zstd-jni-*.jar:slf4j-api-*.jar' RecordsGolden.java DIR
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.*;

public class RecordsGolden {
    static final long TIME = 1_700_000_000_000L;

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static MemoryRecordsBuilder builder(Compression compression, TimestampType type, boolean transactional) {
        long id = transactional ? 4711 : -1;
        short epoch = (short) (transactional ? 3 : -1);
        int sequence = transactional ? 17 : -1;
        return MemoryRecords.builder(ByteBuffer.allocate(1 << 20), RecordBatch.CURRENT_MAGIC_VALUE, compression, type,
            1000, TIME + 5, id, epoch, sequence, transactional, 9);
    }

    /** Records with everything: null key, null value, headers twice and null, time backwards and far on, a gap. */
    static void records(MemoryRecordsBuilder builder, int large) {
        Header[] headers = {
            new RecordHeader("trace", bytes("a")), new RecordHeader("trace", bytes("b")),
            new RecordHeader("none", (byte[]) null), new RecordHeader("größe", new byte[0]),
        };
        builder.appendWithOffset(1000, TIME, bytes("key"), bytes("value"));
        builder.appendWithOffset(1001, TIME - 40, null, bytes("no key"));
        builder.appendWithOffset(1002, TIME + 100_000_000, bytes("tombstone"), (byte[]) null);
        builder.appendWithOffset(1003, TIME + 1, new byte[0], new byte[0], headers);
        builder.appendWithOffset(1300, TIME + 70, bytes("large"), bytes("0123456789".repeat(large)));
    }

    static void write(Path file, MemoryRecords records) throws IOException {
        ByteBuffer buffer = records.buffer();
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        Files.write(file, bytes);
    }

    public static void main(String[] args) throws IOException {
        Path dir = Path.of(args[0]);
        for (CompressionType type : CompressionType.values()) {
            MemoryRecordsBuilder builder = builder(Compression.of(type).build(), TimestampType.CREATE_TIME, false);
            records(builder, type == CompressionType.NONE ? 10 : 20_000);
            write(dir.resolve("records-" + type.name + ".bin"), builder.build());
        }
        MemoryRecordsBuilder appended = builder(Compression.NONE, TimestampType.LOG_APPEND_TIME, false);
        records(appended, 1);
        write(dir.resolve("records-log-append-time.bin"), appended.build());
        MemoryRecordsBuilder transactional = builder(Compression.NONE, TimestampType.CREATE_TIME, true);
        records(transactional, 1);
        write(dir.resolve("records-transactional.bin"), transactional.build());
        for (ControlRecordType type : new ControlRecordType[] {ControlRecordType.COMMIT, ControlRecordType.ABORT}) {
            write(dir.resolve("records-" + type.name().toLowerCase() + "-marker.bin"), MemoryRecords
                .withEndTransactionMarker(2000, TIME, -1, 4711, (short) 3, new EndTransactionMarker(type, 6)));
        }
        write(dir.resolve("records-producer.bin"), MemoryRecords.withIdempotentRecords(Compression.NONE, 4711, (short) 3,
            17, new SimpleRecord(TIME, bytes("key"), bytes("value")), new SimpleRecord(TIME + 300, null, (byte[]) null),
            new SimpleRecord(TIME - 1, bytes("k"), bytes("v"), new Header[] {new RecordHeader("trace", bytes("a"))})));
        ByteBuffer empty = ByteBuffer.allocate(DefaultRecordBatch.RECORD_BATCH_OVERHEAD);
        DefaultRecordBatch.writeEmptyHeader(empty, RecordBatch.CURRENT_MAGIC_VALUE, 4711, (short) 3, 17, 1000, 1300, 9,
            TimestampType.CREATE_TIME, TIME, false, false);
        Files.write(dir.resolve("records-compacted-to-nothing.bin"), empty.array());
    }
}
