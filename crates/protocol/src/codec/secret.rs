//! Bytes that nobody is to see: passwords, tokens, and what is said while authenticating.

use std::fmt;

use zeroize::Zeroizing;

use super::{DecodeError, Reader, TypeName, Version, Wire, Writable};

/// Bytes that are overwritten when they are dropped, and that `Debug` does not show.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as text, where they are.
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<u8>> for Secret {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

impl Wire for Secret {
    const TYPE: TypeName = <Vec<u8>>::TYPE;
    fn min_size(v: Version) -> usize {
        <Vec<u8>>::min_size(v)
    }
    fn encode<W: Writable>(&self, out: &mut W, v: Version) {
        self.0.encode(out, v);
    }
    fn decode(r: &mut Reader<'_>, v: Version) -> Result<Self, DecodeError> {
        <Vec<u8>>::decode(r, v).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::from("open sesame");
        assert_eq!(format!("{secret:?} {secret:#?}"), "[hidden] [hidden]");
        assert_eq!(secret.expose_text(), Some("open sesame"));
    }
}
