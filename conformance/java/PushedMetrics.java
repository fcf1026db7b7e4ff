import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.metrics.KafkaMetric;
import org.apache.kafka.common.metrics.MetricsReporter;
import org.apache.kafka.server.telemetry.ClientTelemetryContext;
import org.apache.kafka.server.telemetry.ClientTelemetryExporter;
import org.apache.kafka.server.telemetry.ClientTelemetryExporterProvider;
import org.apache.kafka.server.telemetry.ClientTelemetryPayload;
import org.apache.kafka.shaded.io.opentelemetry.proto.common.v1.KeyValue;
import org.apache.kafka.shaded.io.opentelemetry.proto.metrics.v1.AggregationTemporality;
import org.apache.kafka.shaded.io.opentelemetry.proto.metrics.v1.Metric;
import org.apache.kafka.shaded.io.opentelemetry.proto.metrics.v1.MetricsData;
import org.apache.kafka.shaded.io.opentelemetry.proto.metrics.v1.NumberDataPoint;

/**
 * A broker's plug-in for clients' metrics (KIP-714). Each push becomes a line of the file that the property ottla.pushed names: the
 * client's name, its id, whether it is the last, the resource's labels, and then a field for each point: name, labels, form, value.
 */
public final class PushedMetrics implements MetricsReporter, ClientTelemetryExporterProvider, ClientTelemetryExporter {
    private final Path file = Path.of(System.getProperty("ottla.pushed"));

    @Override
    public ClientTelemetryExporter clientTelemetryExporter() {
        return this;
    }

    @Override
    public synchronized void exportMetrics(ClientTelemetryContext context, ClientTelemetryPayload payload) {
        try {
            List<String> fields = new ArrayList<>();
            fields.add(context.authorizableRequestContext().clientId());
            fields.add(payload.clientInstanceId().toString());
            fields.add(payload.isTerminating() ? "last" : "");
            List<String> points = new ArrayList<>();
            List<KeyValue> resource = new ArrayList<>();
            MetricsData.parseFrom(payload.data()).getResourceMetricsList().forEach(of -> {
                if (resource.isEmpty())
                    resource.addAll(of.getResource().getAttributesList());
                of.getScopeMetricsList().forEach(scope -> scope.getMetricsList().forEach(metric -> add(metric, points)));
            });
            fields.add(labels(resource));
            fields.addAll(points);
            Files.writeString(file, String.join("\t", fields) + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    private static void add(Metric metric, List<String> points) {
        for (NumberDataPoint point : metric.getGauge().getDataPointsList())
            points.add(text(metric, point, "gauge"));
        boolean isDelta =
            metric.getSum().getAggregationTemporality() == AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA;
        String form = (isDelta ? "delta" : "cumulative") + (metric.getSum().getIsMonotonic() ? "" : " that falls");
        for (NumberDataPoint point : metric.getSum().getDataPointsList())
            points.add(text(metric, point, form));
    }

    private static String text(Metric metric, NumberDataPoint point, String form) {
        double value = point.hasAsDouble() ? point.getAsDouble() : point.getAsInt();
        return metric.getName() + " " + labels(point.getAttributesList()) + " " + form + " " + value;
    }

    private static String labels(List<KeyValue> labels) {
        return "{" + String.join(",", labels.stream().map(it -> it.getKey() + "=" + it.getValue().getStringValue()).sorted().toList())
            + "}";
    }

    @Override
    public void init(List<KafkaMetric> metrics) {
    }

    @Override
    public void metricChange(KafkaMetric metric) {
    }

    @Override
    public void metricRemoval(KafkaMetric metric) {
    }

    @Override
    public void close() {
    }

    @Override
    public void configure(Map<String, ?> configs) {
    }
}
