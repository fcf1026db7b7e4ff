import java.util.HexFormat;
import java.util.UUID;
import org.apache.kafka.common.serialization.BooleanSerializer;
import org.apache.kafka.common.serialization.DoubleSerializer;
import org.apache.kafka.common.serialization.FloatSerializer;
import org.apache.kafka.common.serialization.IntegerSerializer;
import org.apache.kafka.common.serialization.LongSerializer;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.common.serialization.ShortSerializer;
import org.apache.kafka.common.serialization.UUIDSerializer;

/** What Java's serializers make of values: a line for each, its type, the value as text, and the bytes. */
public final class Serializers {
    public static void main(String[] arguments) {
        for (short value : new short[] {0, 1, -1, Short.MIN_VALUE, Short.MAX_VALUE})
            tell("short", new ShortSerializer(), value);
        for (int value : new int[] {0, 1, -1, Integer.MIN_VALUE, Integer.MAX_VALUE})
            tell("int", new IntegerSerializer(), value);
        for (long value : new long[] {0, 1, -1, Long.MIN_VALUE, Long.MAX_VALUE})
            tell("long", new LongSerializer(), value);
        for (float value : new float[] {0, -0.0f, 1.5f, Float.MIN_VALUE, Float.NEGATIVE_INFINITY})
            tell("float", new FloatSerializer(), value);
        for (double value : new double[] {0, -0.0, 1.5, Double.MIN_VALUE, Double.NEGATIVE_INFINITY})
            tell("double", new DoubleSerializer(), value);
        for (boolean value : new boolean[] {true, false})
            tell("boolean", new BooleanSerializer(), value);
        tell("uuid", new UUIDSerializer(), UUID.nameUUIDFromBytes(new byte[] {1, 2, 3}));
    }

    private static <T> void tell(String type, Serializer<T> serializer, T value) {
        System.out.println(type + " " + value + " " + HexFormat.of().formatHex(serializer.serialize("topic", value)));
    }
}
