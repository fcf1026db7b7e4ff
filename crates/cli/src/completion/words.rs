//! Words as a shell would give them to the command, where its script hands over what was typed.

use std::ffi::OsString;

/// The arguments of the process: what `shell`'s script gives, as the words that it stands for.
pub(super) fn given(
    shell: &str,
    arguments: impl IntoIterator<Item = OsString>,
    home: Option<&str>,
) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let Some(begin) = arguments.iter().position(|argument| argument == "--") else { return arguments };
    let count = arguments.len();
    for (index, word) in arguments.iter_mut().enumerate().skip(begin + 1) {
        let Some(typed) = word.to_str() else { continue };
        // The last one is being typed: what is offered for it has to begin as it does.
        let is_last = index + 1 == count;
        let path = typed.strip_prefix("~/").filter(|_| !is_last);
        // Fish has taken the quotes from all others.
        let plain = |text: &str| if shell == "fish" && !is_last { text.to_owned() } else { unquoted(text) };
        let meant = match (path, home) {
            (Some(path), Some(home)) => format!("{home}/{}", plain(path)),
            _ => plain(typed),
        };
        *word = meant.into();
    }
    arguments
}

/// Without quotes and backslashes; a quote need not be closed yet.
fn unquoted(typed: &str) -> String {
    let (mut text, mut quote) = (String::new(), None);
    let mut letters = typed.chars().peekable();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (None, '\'' | '"') => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            (None, '\\') => text.extend(letters.next()),
            // Within these a backslash is one, unless it stands before what would mean something there.
            (Some('"'), '\\') => {
                text.push(letters.next_if(|next| matches!(next, '"' | '\\' | '$' | '`')).unwrap_or('\\'));
            }
            _ => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(shell: &str, typed: &[&str]) -> Vec<String> {
        let typed = ["ottla", "--", "ottla"].iter().chain(typed).map(OsString::from);
        let given = given(shell, typed, Some("/home/me"));
        given.into_iter().skip(3).map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn quotes_are_taken_as_the_shell_takes_them() {
        let typed = [r"my\ group", "'a\\b'", r#""a\"b\c""#, r#"k='a "b"';"#, "'open"];
        assert_eq!(words("bash", &typed), ["my group", "a\\b", "a\"b\\c", "k=a \"b\";", "open"]);
        assert_eq!(words("zsh", &typed), words("bash", &typed));
        assert_eq!(words("fish", &["a'b", r"c\d", "'e f"]), ["a'b", r"c\d", "e f"]);
    }

    #[test]
    fn the_home_folder_is_meant_but_by_a_word_that_is_being_typed() {
        for shell in ["bash", "zsh", "fish"] {
            assert_eq!(words(shell, &["~/a", "b~/c", "~/d"]), ["/home/me/a", "b~/c", "~/d"], "{shell}");
        }
    }
}
