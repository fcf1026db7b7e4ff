//! `docs/properties.md`: written from the tables of the builders, and compared with them.

use std::fmt::Write;

use super::{
    known::{ADMIN, CONSUMER, FIXED, Known, PRODUCER},
    property::{JavaDefault, Property},
};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/properties.md");
const WRITE: &str = "OTTLA_BLESS=1 cargo test -p ottla properties_page";

const CLIENTS: [(&str, Known); 3] = [("consumer", CONSUMER), ("producer", PRODUCER), ("admin", ADMIN)];

/// The clients that `takes` holds for.
fn clients(takes: impl Fn(&Known) -> bool) -> String {
    let names: Vec<&str> =
        CLIENTS.iter().filter(|(_, known)| takes(known)).map(|(client, _)| *client).collect();
    match names.len() {
        3 => "all".to_owned(),
        _ => names.join(", "),
    }
}

fn code(text: &str) -> String {
    match text {
        "" => "none".to_owned(),
        text => format!("`{text}`"),
    }
}

fn row(page: &mut String, property: &Property) {
    let clients = clients(|known| known.supported().any(|other| other == property));
    let Property { name, values, default, java, meaning } = property;
    let default = code(default);
    let java = match java {
        JavaDefault::Same => default.clone(),
        JavaDefault::Other(other) => format!("**{}**", code(other)),
        JavaDefault::Absent => "**not there**".to_owned(),
    };
    writeln!(page, "| `{name}` | {clients} | {values} | {default} | {java} | {meaning} |").unwrap();
}

fn page() -> String {
    let mut page = format!(
        "# Properties\n\n<!-- Written by `{WRITE}` from the tables in crates/client/src/config. -->\n\n\
         Kafka's own keys, as builders take them (`properties`, `from_properties`), and with them properties files and\n\
         the command line's `-X` and `--config`. Setters have the same names in Rust's spelling. A key that is not here is\n\
         refused; one that Kafka knows is told apart from one that nobody does.\n\n\
         The command line reads a file that is there for other tools, Kafka's own or kcat, unchanged: `--config FILE`, or that\n\
         which the environment's `OTTLA_CONFIG` names where the flag is not given. `-X` wins over both, and a file over\n\
         `OTTLA_BOOTSTRAP_SERVERS`. What such a file has for another kind of client, or what changes nothing here\n\
         (`key.deserializer`, `statistics.interval.ms`), is told once on stderr, in one line. What would change security,\n\
         delivery or commits, and a name that nobody knows, is an error. By `-X` every such name is. A password by `-X` is\n\
         taken with a warning, as others on the machine can see it.\n\n\
         Java's defaults are those of Kafka 4.4.0; **bold** where they differ. Durations (`ms`) go up to 2147483647, and\n\
         so do sizes (`bytes`), but for `ottla.buffer.memory`.\n\n\
         | property | client | values | default | Java's | meaning |\n|---|---|---|---|---|---|\n"
    );
    let mut all: Vec<&Property> = Vec::new();
    for property in CLIENTS.iter().flat_map(|(_, known)| known.supported()) {
        if !all.contains(&property) {
            all.push(property);
        }
    }
    all.sort_by_key(|property| property.name);
    all.into_iter().for_each(|property| row(&mut page, property));
    page.push_str(
        "\n## With one value only\n\nOther values of these are not supported yet.\n\n\
         | property | client | value |\n|---|---|---|\n",
    );
    for (name, value) in FIXED {
        writeln!(page, "| `{name}` | {} | `{value}` |", clients(|known| known.lacks(name))).unwrap();
    }
    page
}

#[test]
fn the_properties_page_is_what_builders_take() {
    let page = page();
    if std::env::var_os("OTTLA_BLESS").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs")).unwrap();
        std::fs::write(PAGE, &page).unwrap();
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(written == page, "docs/properties.md is not what the builders take; write it with `{WRITE}`");
}

#[test]
fn what_the_page_says_is_one_line_a_cell() {
    for property in CLIENTS.iter().flat_map(|(_, known)| known.supported()) {
        let texts = [property.values, property.default, property.meaning];
        assert!(texts.iter().all(|text| !text.contains(['|', '\n'])), "{}", property.name);
        assert!(!property.meaning.is_empty() && !property.meaning.ends_with('.'), "{}", property.name);
    }
}
