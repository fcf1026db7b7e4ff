import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.StreamsGroupHeartbeatRequestData;
import org.apache.kafka.common.message.StreamsGroupHeartbeatResponseData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.requests.RequestHeader;
import org.apache.kafka.common.requests.StreamsGroupHeartbeatRequest;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.utils.internals.Exit;
import org.apache.kafka.tools.ConfigCommand;
import org.apache.kafka.tools.FeatureCommand;
import org.apache.kafka.tools.GetOffsetShell;
import org.apache.kafka.tools.GroupsCommand;
import org.apache.kafka.tools.LogDirsCommand;
import org.apache.kafka.tools.TopicCommand;
import org.apache.kafka.tools.consumer.group.ConsumerGroupCommand;
import org.apache.kafka.tools.consumer.group.ShareGroupCommand;
import org.apache.kafka.tools.streams.StreamsGroupCommand;

/**
 * Kafka's tools for groups and topics, by name, in one JVM. Each line of standard input is a call with tabs between its arguments; it is answered
 * by what the tool wrote to its standard output, a line each after "out", to its standard error after "err", and "end" with its
 * exit status. Beside the tools it has members of share and streams groups, which live until it ends.
 */
public final class GroupTools {
    private static final class Done extends RuntimeException {
        private final int status;

        private Done(int status) {
            this.status = status;
        }
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream answers = System.out;
        Exit.setExitProcedure((status, message) -> {
            throw new Done(status);
        });
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            ByteArrayOutputStream err = new ByteArrayOutputStream();
            System.setOut(new PrintStream(out, true));
            System.setErr(new PrintStream(err, true));
            int status = call(arguments[0], line.split("\t"));
            tell(answers, "out", out);
            tell(answers, "err", err);
            answers.println("end\t" + status);
            answers.flush();
        }
        Runtime.getRuntime().halt(0);
    }

    private static void tell(PrintStream answers, String kind, ByteArrayOutputStream written) {
        written.toString().lines().forEach(line -> answers.println(kind + "\t" + line));
    }

    private static int call(String bootstrap, String[] asked) {
        String[] flags = Arrays.copyOfRange(asked, 1, asked.length);
        List<String> all = new ArrayList<>(List.of("--bootstrap-server", bootstrap));
        all.addAll(Arrays.asList(flags));
        String[] tool = all.toArray(new String[0]);
        try {
            switch (asked[0]) {
                case "consumer" -> ConsumerGroupCommand.main(tool);
                case "share" -> ShareGroupCommand.main(tool);
                case "streams" -> StreamsGroupCommand.main(tool);
                case "groups" -> GroupsCommand.main(tool);
                case "topics" -> TopicCommand.main(tool);
                case "configs" -> ConfigCommand.main(tool);
                case "offsets" -> GetOffsetShell.main(tool);
                case "log-dirs" -> LogDirsCommand.main(tool);
                case "features" -> FeatureCommand.main(tool);
                case "share-member" -> share(bootstrap, flags[0], flags[1]);
                case "streams-member" -> streams(flags[0], Integer.parseInt(flags[1]), flags[2], flags[3]);
                default -> throw new IllegalArgumentException(asked[0]);
            }
            return 0;
        } catch (Done done) {
            return done.status;
        } catch (Throwable error) {
            error.printStackTrace();
            return 99;
        }
    }

    private static void background(String name, Runnable work) {
        Thread thread = new Thread(work, name);
        thread.setDaemon(true);
        thread.start();
    }

    private static void share(String bootstrap, String topic, String group) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        properties.put("group.id", group);
        properties.put("client.id", "shares");
        KafkaShareConsumer<byte[], byte[]> consumer =
            new KafkaShareConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        consumer.subscribe(List.of(topic));
        background(group, () -> {
            while (true)
                consumer.poll(Duration.ofMillis(200));
        });
    }

    /** A member of a streams group whose topology reads one topic, by heartbeats alone: it returns once it has its tasks. */
    private static void streams(String host, int port, String topic, String group) throws Exception {
        Socket socket = new Socket(host, port);
        StreamsGroupHeartbeatRequestData beat = new StreamsGroupHeartbeatRequestData()
            .setGroupId(group)
            .setMemberId(Uuid.randomUuid().toString())
            .setProcessId("process-of-" + group)
            .setRebalanceTimeoutMs(60000)
            .setClientTags(List.of())
            .setActiveTasks(List.of())
            .setStandbyTasks(List.of())
            .setWarmupTasks(List.of())
            .setTopology(new StreamsGroupHeartbeatRequestData.Topology()
                .setEpoch(1)
                .setSubtopologies(List.of(new StreamsGroupHeartbeatRequestData.Subtopology()
                    .setSubtopologyId("0")
                    .setSourceTopics(List.of(topic)))));
        boolean assigned = false;
        for (int tries = 0; tries < 300; tries++) {
            StreamsGroupHeartbeatResponseData answer = beat(socket, beat);
            // It loads its groups still, or has not heard yet that it has them.
            if (answer.errorCode() >= 14 && answer.errorCode() <= 16) {
                Thread.sleep(200);
                continue;
            }
            if (answer.errorCode() != 0)
                throw new IllegalStateException(answer.errorCode() + ": " + answer.errorMessage());
            beat.setMemberEpoch(answer.memberEpoch());
            beat.setTopology(null);
            beat.setActiveTasks(null);
            beat.setStandbyTasks(null);
            beat.setWarmupTasks(null);
            if (assigned && answer.activeTasks() == null)
                break;
            if (answer.activeTasks() != null) {
                List<StreamsGroupHeartbeatRequestData.TaskIds> tasks = new ArrayList<>();
                for (StreamsGroupHeartbeatResponseData.TaskIds told : answer.activeTasks())
                    tasks.add(new StreamsGroupHeartbeatRequestData.TaskIds()
                        .setSubtopologyId(told.subtopologyId()).setPartitions(told.partitions()));
                assigned = !tasks.isEmpty();
                beat.setActiveTasks(tasks);
                beat.setStandbyTasks(List.of());
                beat.setWarmupTasks(List.of());
            }
            Thread.sleep(200);
        }
        if (!assigned)
            throw new IllegalStateException("no tasks");
        background(group, () -> {
            try {
                while (true) {
                    Thread.sleep(2000);
                    beat(socket, beat);
                }
            } catch (Exception error) {
                // The cluster is gone.
            }
        });
    }

    private static StreamsGroupHeartbeatResponseData beat(Socket socket, StreamsGroupHeartbeatRequestData beat)
            throws Exception {
        short version = 0;
        RequestHeader header = new RequestHeader(ApiKeys.STREAMS_GROUP_HEARTBEAT, version, "streams", 1);
        ByteBuffer request = new StreamsGroupHeartbeatRequest.Builder(beat).build(version)
            .serializeWithHeader(header);
        ByteBuffer frame = ByteBuffer.allocate(4 + request.remaining());
        frame.putInt(request.remaining()).put(request);
        OutputStream out = socket.getOutputStream();
        out.write(frame.array());
        out.flush();
        DataInputStream in = new DataInputStream(socket.getInputStream());
        byte[] answer = new byte[in.readInt()];
        in.readFully(answer);
        ByteBuffer body = ByteBuffer.wrap(answer);
        // The correlation id, and no tagged fields.
        body.position(5);
        return new StreamsGroupHeartbeatResponseData(new ByteBufferAccessor(body), version);
    }
}
