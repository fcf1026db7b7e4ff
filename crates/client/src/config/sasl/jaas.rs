//! `sasl.jaas.config`: a line of Java's own making, which names a login module, and its options:
//! `org.apache.kafka.common.security.plain.PlainLoginModule required username="alice" password="secret";`

use std::{iter::Peekable, str::Chars};

/// What such a line says. Its `Debug` would show passwords, so there is none.
pub(super) struct Jaas {
    /// The class without its package.
    pub(super) module: String,
    options: Vec<(String, String)>,
}

impl Jaas {
    /// Reads a line with one module. The error says where it ends to make sense, and shows nothing of it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut words = Words { text: text.chars().peekable(), at: 0 };
        let class = words.word()?.ok_or("it is empty")?;
        let flag = words.word()?.ok_or("after the module's class `required` is missing")?;
        const FLAGS: [&str; 4] = ["required", "requisite", "sufficient", "optional"];
        if !FLAGS.iter().any(|known| known.eq_ignore_ascii_case(&flag)) {
            return Err("the word after the module's class is not `required`".to_owned());
        }
        let mut options = Vec::new();
        while let Some(name) = words.word()? {
            if !words.takes('=') {
                return Err(format!("after its option at character {} `=` is missing", words.at));
            }
            let value = words.word()?;
            let value = value.ok_or_else(|| format!("the value at character {} is missing", words.at))?;
            options.push((name, value));
        }
        if !words.takes(';') {
            return Err("the semicolon at its end is missing".to_owned());
        }
        match words.word()? {
            None if !words.takes(';') => {
                let module = class.rsplit('.').next().unwrap_or_default().to_owned();
                Ok(Self { module, options })
            }
            _ => Err("it names more than one module".to_owned()),
        }
    }

    /// The value of an option.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Options whose names begin so: the rest of the name, and the value.
    pub(super) fn all<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.options
            .iter()
            .filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
    }
}

struct Words<'a> {
    text: Peekable<Chars<'a>>,
    at: usize,
}

impl Words<'_> {
    fn next(&mut self) -> Option<char> {
        self.at += 1;
        self.text.next()
    }

    fn skip_blanks(&mut self) {
        while self.text.next_if(|c| c.is_whitespace()).is_some() {
            self.at += 1;
        }
    }

    /// The next word, in quotes or without; `None` at the end, or in front of a sign.
    fn word(&mut self) -> Result<Option<String>, String> {
        self.skip_blanks();
        let mut word = String::new();
        match self.text.peek().copied() {
            Some(quote @ ('"' | '\'')) => {
                let from = self.at;
                self.next();
                loop {
                    match self.next() {
                        Some(c) if c == quote => return Ok(Some(word)),
                        Some('\\') => word.extend(self.next()),
                        Some(c) => word.push(c),
                        None => return Err(format!("the quotation mark at character {from} is not closed")),
                    }
                }
            }
            _ => {
                let is_part = |c: &char| !c.is_whitespace() && !matches!(c, '=' | ';' | '"' | '\'');
                while let Some(c) = self.text.next_if(is_part) {
                    self.at += 1;
                    word.push(c);
                }
                Ok(Some(word).filter(|word| !word.is_empty()))
            }
        }
    }

    fn takes(&mut self, sign: char) -> bool {
        self.skip_blanks();
        let is_it = self.text.next_if_eq(&sign).is_some();
        self.at += usize::from(is_it);
        is_it
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_javas_is_read() {
        let line = "org.apache.kafka.common.security.scram.ScramLoginModule  required\n \
                    username=\"al\\\"ice\" password='a;b=c' tokenauth=true ;";
        let jaas = Jaas::parse(line).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(jaas.module, "ScramLoginModule");
        let options = ["username", "password", "tokenauth", "other"].map(|name| jaas.get(name));
        assert_eq!(options, [Some("al\"ice"), Some("a;b=c"), Some("true"), None]);
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said_without_showing_it() {
        for (line, about) in [
            ("", "empty"),
            ("a.PlainLoginModule", "required"),
            ("a.PlainLoginModule username=\"hush\";", "required"),
            ("a.PlainLoginModule required username=\"hush\"", "semicolon"),
            ("a.PlainLoginModule required username=\"hush;", "not closed"),
            ("a.PlainLoginModule required hush;", "`=`"),
            ("a.PlainLoginModule required username=;", "missing"),
            ("a.PlainLoginModule required username=hush; b.PlainLoginModule required;", "more than one"),
        ] {
            let why = Jaas::parse(line).err().unwrap_or_else(|| panic!("{line} is read"));
            assert!(why.contains(about) && !why.contains("hush"), "{line}: {why}");
        }
    }
}
