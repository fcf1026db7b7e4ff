//! Both formats, and the table of the page in docs.

use super::*;

fn written(format: Format) -> String {
    let exposition = Exposition {
        look: None,
        looks: 3,
        failures: 0,
        requests: 9,
        refused: 1,
        readers: 2,
        dropped: 0,
        stored: None,
        saved: None,
    };
    let mut text = String::new();
    write(exposition, format, &mut text).unwrap();
    text
}

#[test]
fn a_format_is_chosen_by_what_somebody_takes() {
    let wanted = |accept: &[&'static str]| Format::wanted(accept.iter().copied());
    for (accept, format) in [
        (&[][..], Format::Text),
        (&["*/*"], Format::Text),
        (&["text/html,application/xhtml+xml,*/*;q=0.8"], Format::Text),
        (&["application/openmetrics-text"], Format::OpenMetrics),
        (&["Application/OpenMetrics-Text; version=1.0.0; charset=utf-8"], Format::OpenMetrics),
        (
            // Prometheus 2.42.
            &[
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            ],
            Format::OpenMetrics,
        ),
        (&["text/plain;version=0.0.4,application/openmetrics-text;q=0.4"], Format::Text),
        (&["application/openmetrics-text;q=0"], Format::Text),
        (&["text/plain;q=0.3", "application/openmetrics-text;q=0.5"], Format::OpenMetrics),
    ] {
        assert_eq!(wanted(accept), format, "{accept:?}");
    }
}

#[test]
fn open_metrics_names_families_of_counters_without_their_suffix_and_has_an_end() {
    let text = written(Format::OpenMetrics);
    assert!(text.contains("# TYPE ottla_looks counter\nottla_looks_total 3\n"), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[test]
fn the_older_text_names_counters_in_full_and_has_no_end() {
    let text = written(Format::Text);
    assert!(
        text.contains(
            "# HELP ottla_looks_total Looks at the cluster that succeeded\n# TYPE ottla_looks_total counter\nottla_looks_total 3\n"
        ),
        "{text}"
    );
    assert!(!text.contains("EOF"), "{text}");
    let families: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert_eq!(families, METRICS.iter().map(|metric| metric.name).collect::<Vec<_>>());
}

#[test]
fn a_value_of_a_label_cannot_end_it() {
    let mut text = String::new();
    let mut registry = Registry::default();
    let family = prometheus_client::metrics::family::Family::<[(&str, Escaped<'static>); 1], _>::default();
    registry.register("x", "X", family.clone());
    let gauge: prometheus_client::metrics::gauge::Gauge =
        family.get_or_create_owned(&[("group", Escaped("a\"b\\\nc\r\u{7}}"))]);
    gauge.set(1);
    text::encode(&mut text, &registry).unwrap();
    assert!(text.contains("x{group=\"a\\\"b\\\\\\nc\r\u{7}}\"} 1\n"), "{text}");
}

#[test]
fn the_table_of_the_page_has_every_metric_and_no_other() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/serve.md")).unwrap();
    let in_page: Vec<&str> =
        page.lines().filter(|line| line.starts_with("| `kafka_") || line.starts_with("| `ottla_")).collect();
    let of_table: Vec<String> = METRICS
        .iter()
        .map(|metric| {
            let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            let from = if metric.from.is_empty() { "ours" } else { metric.from };
            format!("| `{}` | {} | {} | {from} |", metric.name, labels.join(", "), metric.help)
        })
        .collect();
    assert_eq!(in_page, of_table, "docs/serve.md should have:\n{}", of_table.join("\n"));
}
