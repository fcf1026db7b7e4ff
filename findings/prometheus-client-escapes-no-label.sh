#!/usr/bin/env bash
# prometheus-client 0.24.1 (Rust)
#
# The value of a label is written as it is. OpenMetrics and Prometheus' text want a quote, a backslash and a line feed in it escaped
# (`\"`, `\\`, `\n`): of a value that has one, such as the name of a consumer group, which may be any text, the sample cannot be parsed, and a
# scrape fails as a whole. Whoever has values of others escapes them first.
#
# Seen of a label whose value is  say "hi"  :
SEEN='groups{name="say "hi""} 1'

. "$(dirname "$0")/kafka.sh"
mkdir -p "$dir/src"
cat >"$dir/Cargo.toml" <<'END'
[package]
name = "program"
version = "0.1.0"
edition = "2021"

[dependencies]
prometheus-client = "=0.24.1"
END
cat >"$dir/src/main.rs" <<'END'
use prometheus_client::{encoding::text::encode, metrics::{family::Family, gauge::Gauge}, registry::Registry};

fn main() {
    let family = Family::<Vec<(String, String)>, Gauge>::default();
    family.get_or_create(&vec![("name".to_owned(), "say \"hi\"".to_owned())]).set(1);
    let mut registry = Registry::default();
    registry.register("groups", "Groups", family);
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    print!("{text}");
}
END
seen=$(cd "$dir" && CARGO_TARGET_DIR="$dir/target" cargo run --quiet | grep '^groups{')
echo "$seen"
[[ $seen == "$SEEN" ]] || differs "not as stated"
