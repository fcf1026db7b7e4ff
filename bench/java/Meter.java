import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Properties;

/** What a lap has cost, printed as the laps in Rust print it, and what it is told. */
final class Meter {
    private static final OperatingSystemMXBean PROCESS =
        (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();

    long records;
    long bytes;
    private final long called = System.nanoTime();
    private long first;
    private long end;
    private long cpu;
    private long used;

    /** The arguments after the verb: names and values in turn. */
    static Properties named(String[] args) {
        Properties named = new Properties();
        for (int i = 1; i + 1 < args.length; i += 2) {
            named.setProperty(args[i].substring(2), args[i + 1]);
        }
        return named;
    }

    /** A record is there, or about to be sent; only the first call counts. */
    void begin() {
        if (first == 0) {
            first = System.nanoTime();
            cpu = PROCESS.getProcessCpuTime();
        }
    }

    void add(byte[] key, byte[] value) {
        records++;
        bytes += length(key) + length(value);
    }

    /** The last record was read, or acknowledged. */
    void end() {
        used = PROCESS.getProcessCpuTime() - cpu;
        end = System.nanoTime();
    }

    /** A line for the process that started this one; with further fields, each after a comma. */
    String lap(String more) throws IOException {
        return "{\"records\":" + records + ",\"bytes\":" + bytes + ",\"cpu_micros\":" + used / 1000
            + ",\"seconds\":" + (end - first) / 1e9 + ",\"seconds_of_all\":" + (end - called) / 1e9
            + ",\"vm_hwm_kib\":" + peak() + ",\"fetched\":null,\"log\":null" + more + "}";
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
