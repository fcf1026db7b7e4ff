//! Stdin, as blocks of whole lines.

use std::io::{Read, stdin};

use tokio::sync::mpsc;

use crate::failure::Failure;

/// How much is read at once, and how many such blocks may wait.
const BLOCK: usize = 256 << 10;
const BLOCKS: usize = 4;

/// What is before the first delimiter, and what behind it.
pub(super) fn split<'l>(line: &'l [u8], delimiter: &[u8]) -> Option<(&'l [u8], &'l [u8])> {
    let at = match delimiter {
        [byte] => line.iter().position(|at| at == byte),
        delimiter => line.windows(delimiter.len()).position(|window| window == delimiter),
    }?;
    Some((line.get(..at)?, line.get(at + delimiter.len()..)?))
}

/// Each line of a block, without its end. A delimiter at the very end begins no further one.
pub(super) fn lines<'b>(block: &'b [u8], delimiter: &'b [u8]) -> impl Iterator<Item = &'b [u8]> {
    let mut rest = block;
    std::iter::from_fn(move || {
        let block = Some(rest).filter(|block| !block.is_empty())?;
        let (line, behind) = split(block, delimiter).unwrap_or((block, &[]));
        rest = behind;
        Some(line)
    })
}

/// Blocks of whole lines; the last may lack its end.
///
/// The thread is not joined: a read of stdin ends when it likes, and the process does not wait for it.
pub(super) fn read_blocks(delimiter: Vec<u8>) -> Result<mpsc::Receiver<std::io::Result<Vec<u8>>>, Failure> {
    let (sender, blocks) = mpsc::channel(BLOCKS);
    let read = move || {
        let mut stdin = stdin().lock();
        let mut block: Vec<u8> = Vec::with_capacity(BLOCK);
        let mut buffer = vec![0; BLOCK];
        loop {
            let count = match stdin.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return drop(sender.blocking_send(Err(error))),
            };
            let before = block.len();
            block.extend_from_slice(buffer.get(..count).unwrap_or_default());
            // Of which a part may have come before.
            let from = (before + 1).saturating_sub(delimiter.len());
            let Some(end) = last_end(&block, from, &delimiter) else { continue };
            let mut next = Vec::with_capacity(BLOCK);
            next.extend_from_slice(block.get(end..).unwrap_or_default());
            block.truncate(end);
            if sender.blocking_send(Ok(std::mem::replace(&mut block, next))).is_err() {
                return;
            }
        }
        if !block.is_empty() {
            // Nobody waits for it where the command has ended.
            let _ = sender.blocking_send(Ok(block));
        }
    };
    std::thread::Builder::new()
        .name("ottla-stdin".to_owned())
        .spawn(read)
        .map_err(|error| Failure::failed(format!("no thread to read stdin: {error}")))?;
    Ok(blocks)
}

/// Behind the last delimiter, of which none begins before `from`.
fn last_end(block: &[u8], from: usize, delimiter: &[u8]) -> Option<usize> {
    if let [byte] = delimiter {
        return Some(from + block.get(from..)?.iter().rposition(|at| at == byte)? + 1);
    }
    // As `lines` goes: a delimiter may overlap with itself.
    let mut rest = block.get(from..)?;
    let mut end = None;
    while let Some((_, behind)) = split(rest, delimiter) {
        rest = behind;
        end = Some(block.len() - behind.len());
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_its_lines_empty_ones_too() {
        let all = |block: &'static str, delimiter: &'static str| {
            lines(block.as_bytes(), delimiter.as_bytes()).collect::<Vec<_>>()
        };
        assert_eq!(all("a\nb\n", "\n"), [b"a", b"b"]);
        assert_eq!(all("a\n\nb", "\n"), [&b"a"[..], b"", b"b"]);
        assert_eq!(all("\n", "\n"), [b""]);
        assert_eq!(all("a\n::b::", "::"), [&b"a\n"[..], b"b"]);
    }

    #[test]
    fn a_block_ends_behind_its_last_delimiter_though_that_came_in_parts() {
        assert_eq!(last_end(b"a::b", 0, b"::"), Some(3));
        assert_eq!(last_end(b"a:::", 0, b"::"), Some(3));
        assert_eq!(last_end(b"ab:::", 2, b"::"), Some(4));
        assert_eq!(last_end(b"a:b", 0, b"::"), None);
    }

    #[test]
    fn a_key_ends_at_the_first_delimiter() {
        assert_eq!(split(b"a::b::c", b"::"), Some((&b"a"[..], &b"b::c"[..])));
        assert_eq!(split(b"::b", b"::"), Some((&b""[..], &b"b"[..])));
        assert_eq!(split(b"ab", b"::"), None);
        assert_eq!(split(b"", b":"), None);
    }
}
