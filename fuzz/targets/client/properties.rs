//! Properties: files, lines of JAAS, and what clients make of them.

use ottla::{
    Properties,
    fuzzing::{Jaas, parse_all},
};
use ottla_fuzz::{Input, within};

/// It stands in no message.
const SECRET: &str = "correct horse battery staple";

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 3 {
        0 => jaas(&mut input),
        1 => file(&mut input),
        _ => pairs(&mut input),
    }
}

fn jaas(input: &mut Input<'_>) {
    let Ok(text) = std::str::from_utf8(input.rest()) else { return };
    let Ok(read) = within(64 * text.len() + 4096, || Jaas::parse(text)) else { return };
    let mut again = format!("{} required", quoted(read.module()));
    for (name, value) in read.options() {
        again += &format!(" {}={}", quoted(name), quoted(value));
    }
    let again = Jaas::parse(&(again + ";")).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(again.module(), read.module());
    assert!(again.options().eq(read.options()));
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn file(input: &mut Input<'_>) {
    let Ok(text) = std::str::from_utf8(input.rest()) else { return };
    let Ok(read) = within(128 * text.len() + 4096, || Properties::parse(text)) else { return };
    // Written as Java writes them, they read the same.
    let escaped = |text: &str| text.chars().flat_map(|c| ['\\', c]).collect::<String>();
    let mut again = String::new();
    for (key, value) in read.iter() {
        // What follows a backslash may be a letter that means another, or the end of the line.
        if [key, value].iter().any(|text| text.contains(['t', 'n', 'r', 'f', 'u', '\r', '\n'])) {
            continue;
        }
        again += &format!("{}={}\n", escaped(key), escaped(value));
        let read = Properties::parse(&again).unwrap();
        assert_eq!(read.iter().last(), Some((key, value)));
        again.clear();
    }
    made_of(read.into_iter().collect());
}

fn pairs(input: &mut Input<'_>) {
    let mut properties = Properties::new();
    // One of the keys that there are, or another.
    let known: Vec<_> = ottla::ConsumerBuilder::known_properties().map(|property| property.name).collect();
    while !input.is_over() {
        let drawn = usize::from(input.byte());
        let Some(value) = input.text() else { return };
        match known.get(drawn) {
            Some(key) => properties.push(*key, value),
            None => drop(properties.push_pair(value)),
        }
    }
    made_of(properties.into_iter().collect());
}

/// What clients make of them, with a secret in each that may have one. No file is read.
fn made_of(mut properties: Vec<(String, String)>) {
    properties.retain(|(key, _)| !key.ends_with(".location"));
    let mut has_secret = false;
    for (key, value) in &mut properties {
        if ottla::config::is_secret(key) {
            let middle = value.char_indices().nth(value.chars().count() / 2).map_or(0, |(at, _)| at);
            value.insert_str(middle, SECRET);
            has_secret = true;
        }
    }
    for error in parse_all(&properties).into_iter().filter_map(Result::err) {
        let told = format!("{error} {error:?}");
        assert!(!has_secret || !told.contains(SECRET), "{told}");
    }
}
