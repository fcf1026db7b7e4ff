import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Assignment;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.GroupSubscription;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Subscription;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.consumer.RoundRobinAssignor;
import org.apache.kafka.clients.consumer.StickyAssignor;
import org.apache.kafka.clients.consumer.internals.AbstractStickyAssignor;
import org.apache.kafka.common.Cluster;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;

/**
 * Java's assignors as an oracle. Each line of standard input is a case in JSON, and is answered by a line: what each
 * member is given, the user data that Java writes for it, and what Java reads in the user data that the case gives it.
 */
public final class Assignors {
    private static final int ROUNDS = 5;
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] arguments) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine())
            System.out.println(answer(JSON.readTree(line)));
    }

    private static ObjectNode answer(JsonNode asked) throws Exception {
        String name = asked.get("assignor").asText();
        Map<String, Subscription> members = new HashMap<>();
        asked.get("members").fields().forEachRemaining(member -> members.put(member.getKey(), subscription(member.getValue())));

        ObjectNode answer = JSON.createObjectNode();
        if (name.endsWith("sticky")) {
            ObjectNode written = answer.putObject("written");
            ObjectNode read = answer.putObject("read");
            for (Map.Entry<String, Subscription> member : members.entrySet()) {
                written.put(member.getKey(), written(name, member.getValue()));
                AbstractStickyAssignor.MemberData data = read(name, member.getValue());
                ObjectNode told = read.putObject(member.getKey());
                told.put("generation", data.generation.orElse(-1));
                told.set("partitions", JSON.valueToTree(data.partitions.stream().map(TopicPartition::toString).sorted().toList()));
            }
        }
        Cluster cluster = cluster(asked.get("topics"));
        Map<String, List<TopicPartition>> given = given(name, cluster, members);
        if (name.equals("cooperative-sticky")) {
            // What moves is withheld for a round. Plans may change from round to round, and some never settle.
            Map<String, List<TopicPartition>> before = Map.of();
            for (int round = 0; round < ROUNDS && !given.equals(before); round++) {
                before = Map.copyOf(given);
                members.replaceAll((id, member) -> owning(member, given.get(id)));
                given.putAll(given(name, cluster, members));
            }
        }
        ObjectNode partitions = answer.putObject("given");
        new TreeMap<>(given).forEach((id, own) ->
            partitions.set(id, JSON.valueToTree(own.stream().map(TopicPartition::toString).toList())));
        return answer;
    }

    private static ConsumerPartitionAssignor assignor(String name) {
        return switch (name) {
            case "range" -> new RangeAssignor();
            case "roundrobin" -> new RoundRobinAssignor();
            case "sticky" -> new StickyAssignor();
            case "cooperative-sticky" -> new CooperativeStickyAssignor();
            default -> throw new IllegalArgumentException(name);
        };
    }

    private static Map<String, List<TopicPartition>> given(String name, Cluster cluster, Map<String, Subscription> members) {
        members.values().forEach(member -> {
            if (member.userData() != null)
                member.userData().rewind();
        });
        Map<String, List<TopicPartition>> given = new HashMap<>();
        Map<String, Assignment> assignments = assignor(name).assign(cluster, new GroupSubscription(members)).groupAssignment();
        assignments.forEach((id, assignment) -> given.put(id, assignment.partitions()));
        return given;
    }

    /** A node for each rack, and one without. */
    private static Cluster cluster(JsonNode topics) {
        Map<String, Node> nodes = new HashMap<>();
        nodes.put("", new Node(0, "host", 9092, null));
        List<PartitionInfo> partitions = new ArrayList<>();
        topics.fields().forEachRemaining(topic -> {
            int number = 0;
            for (JsonNode racks : topic.getValue()) {
                List<Node> replicas = new ArrayList<>(List.of(nodes.get("")));
                for (JsonNode rack : racks)
                    replicas.add(nodes.computeIfAbsent(rack.asText(), name -> new Node(nodes.size(), "host", 9092, name)));
                Node[] all = replicas.toArray(Node[]::new);
                partitions.add(new PartitionInfo(topic.getKey(), number++, all[0], all, all));
            }
        });
        return new Cluster("cluster", nodes.values(), partitions, Set.of(), Set.of());
    }

    private static Subscription subscription(JsonNode member) {
        List<String> topics = new ArrayList<>();
        member.get("topics").forEach(topic -> topics.add(topic.asText()));
        List<TopicPartition> owned = new ArrayList<>();
        member.get("owned").forEach(at -> owned.add(new TopicPartition(at.get(0).asText(), at.get(1).asInt())));
        String userData = text(member.get("userData"));
        ByteBuffer bytes = userData == null ? null : ByteBuffer.wrap(HexFormat.of().parseHex(userData));
        Optional<String> rack = Optional.ofNullable(text(member.get("rack")));
        Subscription subscription = new Subscription(topics, bytes, owned, member.get("generation").asInt(), rack);
        subscription.setGroupInstanceId(Optional.ofNullable(text(member.get("instance"))));
        return subscription;
    }

    private static String text(JsonNode node) {
        return node.isNull() ? null : node.asText();
    }

    private static Subscription owning(Subscription member, List<TopicPartition> owned) {
        Subscription next = new Subscription(member.topics(), null, owned, member.generationId().orElse(-1) + 1, member.rackId());
        next.setGroupInstanceId(member.groupInstanceId());
        return next;
    }

    private static String written(String name, Subscription member) {
        ConsumerPartitionAssignor assignor = assignor(name);
        int generation = member.generationId().orElse(-1);
        if (generation >= 0)
            assignor.onAssignment(new Assignment(member.ownedPartitions()), new ConsumerGroupMetadata("group", generation, "member", Optional.empty()));
        ByteBuffer bytes = assignor.subscriptionUserData(Set.copyOf(member.topics()));
        return bytes == null ? null : HexFormat.of().formatHex(bytes.array(), 0, bytes.limit());
    }

    private static AbstractStickyAssignor.MemberData read(String name, Subscription member) throws Exception {
        ConsumerPartitionAssignor assignor = assignor(name);
        Method memberData = assignor.getClass().getDeclaredMethod("memberData", Subscription.class);
        memberData.setAccessible(true);
        // Without the generation in the subscription, the cooperative one looks for it in the user data too.
        Subscription old = new Subscription(member.topics(), member.userData(), member.ownedPartitions(), -1, member.rackId());
        return (AbstractStickyAssignor.MemberData) memberData.invoke(assignor, old);
    }
}
