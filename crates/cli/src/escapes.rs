//! Escapes in what flags are given: `-f`, `-K` and `-D` read the same.

use std::str::Chars;

use crate::failure::Failure;

/// The byte that is written by what follows a backslash.
pub(crate) fn escaped(flag: &str, chars: &mut Chars<'_>) -> Result<u8, Failure> {
    let wrong = |what: &str, why: &str| Failure::usage(format!("{flag}: `{what}` {why}"));
    Ok(match chars.next() {
        Some('n') => b'\n',
        Some('r') => b'\r',
        Some('t') => b'\t',
        Some('0') => 0,
        Some(same @ ('\\' | '%' | '"' | '\'')) => same as u8,
        Some('x') => {
            let digits = chars.as_str().get(..2).unwrap_or_default();
            let is_hex = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            let byte = u8::from_str_radix(digits, 16).ok().filter(|_| is_hex);
            chars.nth(1);
            byte.ok_or_else(|| wrong("\\x", "is followed by two hexadecimal digits"))?
        }
        Some(other) => return Err(wrong(&format!("\\{other}"), "is no escape; \\n \\r \\t \\\\ \\xHH")),
        None => return Err(wrong("\\", "stands at the end; write \\\\")),
    })
}

/// All of it, which is not to be empty.
pub(crate) fn delimiter(flag: &str, text: &str) -> Result<Vec<u8>, Failure> {
    let bytes = unescaped(flag, text)?;
    match bytes.is_empty() {
        true => Err(Failure::usage(format!("{flag}: expected a delimiter, as in {flag} : or {flag} '\\t'"))),
        false => Ok(bytes),
    }
}

/// All of it.
pub(crate) fn unescaped(flag: &str, text: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => bytes.push(escaped(flag, &mut chars)?),
            other => bytes.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delimiter_is_text_with_escapes() {
        for (text, expected) in
            [(":", &b":"[..]), (r"\t", b"\t"), (r"::\x00\\", b"::\0\\"), ("é", "é".as_bytes())]
        {
            assert_eq!(delimiter("-K", text).unwrap(), expected, "{text}");
        }
        for wrong in ["", r"\q", r"\", r"\x4"] {
            assert!(delimiter("-K", wrong).is_err(), "{wrong}");
        }
        assert_eq!(unescaped("-K", "").unwrap(), b"");
    }
}
