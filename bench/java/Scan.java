import com.sun.management.OperatingSystemMXBean;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import org.apache.kafka.tools.consumer.group.ConsumerGroupCommand;

/** Kafka's tool describes all groups, so often in one JVM: of each call the rows, the seconds, and the CPU seconds. */
public final class Scan {
    public static void main(String[] args) {
        String topic = " " + args[1] + " ";
        OperatingSystemMXBean process = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        PrintStream told = System.out;
        for (int call = Integer.parseInt(args[2]); call > 0; call--) {
            ByteArrayOutputStream shown = new ByteArrayOutputStream();
            System.setOut(new PrintStream(shown, true, StandardCharsets.UTF_8));
            long cpu = process.getProcessCpuTime();
            long began = System.nanoTime();
            ConsumerGroupCommand.main(new String[] {
                "--bootstrap-server", args[0], "--describe", "--all-groups", "--timeout", "120000"
            });
            long end = System.nanoTime();
            long used = process.getProcessCpuTime() - cpu;
            long rows = shown.toString(StandardCharsets.UTF_8).lines().filter(line -> line.contains(topic)).count();
            told.println(rows + " " + (end - began) / 1e9 + " " + used / 1e9);
        }
    }
}
