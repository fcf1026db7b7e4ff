//! Tables: for people aligned, for programs one JSON object a row.

use std::{
    borrow::Cow,
    io::{self, BufWriter, Write},
};

use serde_json::Value;

use crate::failure::Failure;

/// Rows under named columns. What is not known is [`Value::Null`].
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
}

impl Table {
    /// An empty one. Columns are named as people see them, such as `LOG-END-OFFSET`.
    pub(crate) fn new(columns: &[&'static str]) -> Self {
        Self { columns: columns.into(), rows: Vec::new() }
    }

    /// Adds a row of as many cells as there are columns.
    pub(crate) fn push(&mut self, row: impl Into<Vec<Value>>) {
        let row = row.into();
        debug_assert_eq!(row.len(), self.columns.len());
        self.rows.push(row);
    }

    /// Without the columns of these names.
    pub(crate) fn without(mut self, columns: &[&str]) -> Self {
        let kept: Vec<bool> = self.columns.iter().map(|name| !columns.contains(name)).collect();
        let mut of_columns = kept.iter();
        self.columns.retain(|_| of_columns.next() == Some(&true));
        for row in &mut self.rows {
            let mut of_cells = kept.iter();
            row.retain(|_| of_cells.next() == Some(&true));
        }
        self
    }

    /// To stdout.
    pub(crate) fn print(&self, json: bool) -> Result<(), Failure> {
        if !json {
            return print(&self.text());
        }
        let write = || {
            let mut stdout = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
            self.write_json(&mut stdout)?;
            stdout.flush()
        };
        write().map_err(|error| Failure::stdout(&error))
    }

    /// An object a row.
    pub(crate) fn values(self) -> Vec<Value> {
        let keys = self.keys();
        let object = |row| keys.iter().cloned().zip(row).collect();
        self.rows.into_iter().map(object).collect()
    }

    fn keys(&self) -> Vec<String> {
        self.columns.iter().map(|name| name.to_lowercase().replace('-', "_")).collect()
    }

    /// Cell by cell: all groups of a cluster are many rows.
    fn write_json(&self, to: &mut impl Write) -> io::Result<()> {
        let mut before = "{";
        let mut keys = Vec::new();
        for key in self.keys() {
            keys.push(format!("{before}\"{key}\":"));
            before = ",";
        }
        for row in &self.rows {
            for (key, value) in keys.iter().zip(row) {
                to.write_all(key.as_bytes())?;
                serde_json::to_writer(&mut *to, value)?;
            }
            to.write_all(b"}\n")?;
        }
        Ok(())
    }

    fn text(&self) -> String {
        let titles = self.columns.iter().map(|name| (*name).to_owned()).collect();
        let lines: Vec<Vec<String>> = std::iter::once(titles)
            .chain(self.rows.iter().map(|row| row.iter().map(cell).collect()))
            .collect();
        let mut widths = vec![0; self.columns.len()];
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let line = |cells: &Vec<String>| {
            let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
        };
        lines.iter().map(line).collect()
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => harmless(text).into_owned(),
        Value::Array(values) if values.is_empty() => "-".to_owned(),
        Value::Array(values) => values.iter().map(cell).collect::<Vec<_>>().join(","),
        value => value.to_string(),
    }
}

/// Names, values and brokers' texts are others': what would move the cursor of a terminal, hide, or turn the order of what stands
/// around it, is shown by its number, and not sent.
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match is_hidden(c) {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown.into()
}

/// Controls, marks of direction, separators of lines, and what is not seen at all. Marks that stand on a letter are.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
                | '\u{e0100}'..='\u{e01ef}'
        )
}

/// To stdout, at once.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let write = || -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    };
    write().map_err(|error| Failure::stdout(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(table: &Table) -> String {
        let mut written = Vec::new();
        table.write_json(&mut written).unwrap();
        String::from_utf8(written).unwrap()
    }

    fn table() -> Table {
        let mut table = Table::new(&["TOPIC", "LOG-END-OFFSET", "ISR"]);
        table.push(["a".into(), 10.into(), vec![1, 2].into()]);
        table.push(["longer".into(), Value::Null, Vec::<i32>::new().into()]);
        table
    }

    #[test]
    fn text_is_aligned_and_shows_what_is_unknown_as_a_dash() {
        assert_eq!(
            table().text(),
            "TOPIC   LOG-END-OFFSET  ISR\na       10              1,2\nlonger  -               -\n"
        );
    }

    #[test]
    fn what_would_move_the_cursor_or_turn_the_line_is_shown_and_not_sent() {
        for (name, shown) in [
            ("orders", "orders"),
            ("bestellungen-größe", "bestellungen-größe"),
            ("日本", "日本"),
            ("a\u{1b}[2Jb\r", "a\\u{1b}[2Jb\\r"),
            ("a\nb\tc", "a\\nb\\tc"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("user\u{202e}gpj\u{2066}", "user\\u{202e}gpj\\u{2066}"),
            ("a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}"),
            ("", ""),
        ] {
            assert_eq!(harmless(name), shown);
            assert!(!harmless(name).contains(is_hidden));
        }
        let mut table = Table::new(&["GROUP"]);
        table.push(["\u{1b}]0;x\u{7}".into()]);
        assert_eq!(table.text(), "GROUP\n\\u{1b}]0;x\\u{7}\n");
        assert_eq!(json(&table), "{\"group\":\"\\u001b]0;x\\u0007\"}\n");
    }

    #[test]
    fn json_is_an_object_a_row_with_the_columns_in_order() {
        let expected = "{\"topic\":\"a\",\"log_end_offset\":10,\"isr\":[1,2]}\n\
                        {\"topic\":\"longer\",\"log_end_offset\":null,\"isr\":[]}\n";
        assert_eq!(json(&table()), expected);
    }
}
