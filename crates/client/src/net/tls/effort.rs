//! What it takes to make keys of a password: as much as the file says, which may be anybody's. So it is looked at before.

use pkcs8::pkcs5::{EncryptionScheme, pbes2::Kdf};

/// Rounds of hashing, all in all and of one key, and the most memory that is needed at once, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Effort {
    pub(super) rounds: u64,
    pub(super) of_one: u64,
    pub(super) memory: u64,
}

impl Effort {
    /// The most of a key: some seconds. What is seconds is minutes under the address sanitizer.
    pub(super) const MOST: Self = Self {
        rounds: if cfg!(ottla_fuzzing) { 20_000 } else { 5_000_000 },
        of_one: u64::MAX,
        memory: 32 << 20,
    };
    /// The most of a store, which may have many keys. Of one the crate that reads it allows no more.
    #[cfg(feature = "keystores")]
    pub(super) const MOST_OF_STORE: Self =
        Self { rounds: Self::MOST.rounds.saturating_mul(4), of_one: 1_000_000, ..Self::MOST };

    /// Why it is too much.
    pub(super) fn beyond(self, most: Self) -> Option<String> {
        let Self { rounds, of_one, memory } = self;
        let told = match () {
            () if rounds > most.rounds => format!("{rounds} rounds in all, and {} are the most", most.rounds),
            () if of_one > most.of_one => {
                format!("{of_one} rounds for one, and {} are the most", most.of_one)
            }
            () if memory > most.memory => {
                format!("{memory} bytes of memory, and {} are the most", most.memory)
            }
            () => return None,
        };
        Some(format!("to make its keys of the password takes {told}"))
    }

    fn pbkdf2(rounds: u64) -> Self {
        Self { rounds, of_one: rounds, memory: 0 }
    }

    fn scrypt(cost: u64, block_size: u64, parallel: u64) -> Self {
        let size = cost.saturating_mul(block_size);
        // Each block of 128 bytes is at hand, and those of one that is worked on.
        let blocks = size.saturating_add(block_size.saturating_mul(parallel));
        let rounds = size.saturating_mul(parallel);
        Self { rounds, of_one: 0, memory: blocks.saturating_mul(128) }
    }

    #[cfg(feature = "keystores")]
    fn and(self, other: Self) -> Self {
        Self {
            rounds: self.rounds.saturating_add(other.rounds),
            of_one: self.of_one.max(other.of_one),
            memory: self.memory.max(other.memory),
        }
    }

    /// Of one key in PKCS#8.
    pub(super) fn of_key(scheme: &EncryptionScheme) -> Self {
        match scheme {
            EncryptionScheme::Pbes2(params) => match &params.kdf {
                Kdf::Pbkdf2(params) => Self::pbkdf2(params.iteration_count.into()),
                Kdf::Scrypt(params) => Self::scrypt(
                    params.cost_parameter,
                    params.block_size.into(),
                    params.parallelization.into(),
                ),
                _ => Self::default(),
            },
            // It is not read.
            _ => Self::default(),
        }
    }

    /// Of a store in PKCS#12: of its digest, and of each part that is encrypted. Whatever makes a key of a password has a salt, the
    /// first of its list or behind a digest alone, and then says how: one number, or two, for rounds, three for scrypt. What is within an encrypted part is not seen; it is its owner's.
    #[cfg(feature = "keystores")]
    pub(super) fn of_store(der: &[u8]) -> Self {
        walk(der, 0)
    }
}

#[cfg(feature = "keystores")]
mod tag {
    pub(super) const INTEGER: u8 = 2;
    pub(super) const OCTET_STRING: u8 = 4;
    pub(super) const SEQUENCE: u8 = 0x30;
    pub(super) const CONSTRUCTED: u8 = 0x20;
}

/// How deep it is looked into. Parts are within some ten others.
#[cfg(feature = "keystores")]
const DEPTH_MAX: usize = 32;

#[cfg(feature = "keystores")]
fn walk(mut der: &[u8], depth: usize) -> Effort {
    let mut effort = Effort::default();
    let (mut is_salted, mut numbers) = (false, Vec::new());
    let mut before = Vec::new();
    while let Some((tag, content, rest)) = element(der) {
        if tag == tag::INTEGER && is_salted {
            numbers.push(number(content));
        } else {
            effort = effort.and(said(&numbers));
            numbers = Vec::new();
            // The base of a curve is further behind, and two numbers follow it, too.
            is_salted = tag == tag::OCTET_STRING && matches!(before[..], [] | [tag::SEQUENCE]);
        }
        // Of what is encrypted nothing is to be read.
        let is_list =
            || element(content).is_some_and(|(tag, _, rest)| tag == tag::SEQUENCE && rest.is_empty());
        if depth < DEPTH_MAX && (tag & tag::CONSTRUCTED != 0 || tag == tag::OCTET_STRING && is_list()) {
            effort = effort.and(walk(content, depth + 1));
        }
        before.push(tag);
        der = rest;
    }
    effort.and(said(&numbers))
}

/// By the numbers behind a salt.
#[cfg(feature = "keystores")]
fn said(numbers: &[u64]) -> Effort {
    match *numbers {
        [] => Effort::default(),
        [cost, block_size, parallel, ..] => Effort::scrypt(cost, block_size, parallel),
        [rounds, ..] => Effort::pbkdf2(rounds),
    }
}

/// The next element, if there is a whole one: its tag, what is in it, what follows it.
#[cfg(feature = "keystores")]
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, length, rest @ ..] = der else { return None };
    let (length, rest) = match usize::from(*length) {
        short @ 0..0x80 => (short, rest),
        long => {
            let (bytes, rest) = rest.split_at_checked(long & 0x7f)?;
            (usize::try_from(number(bytes)).ok()?, rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

#[cfg(feature = "keystores")]
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number: u64, byte| {
        number.checked_mul(256).map_or(u64::MAX, |number| number | u64::from(*byte))
    })
}

#[cfg(all(test, feature = "keystores"))]
mod tests {
    use super::*;

    #[test]
    fn what_a_store_takes_is_that_of_its_parts_and_of_its_digest() {
        // As PBES1 says it, as PBKDF2 with a length, and as scrypt; in lists, and in a text that is one.
        let der = [
            &[0x30, 10, 0x04, 2, 9, 9, 0x02, 2, 1, 0, 0x05, 0][..],
            &[0x30, 12, 0x04, 10, 0x30, 8, 0x04, 0, 0x02, 1, 7, 0x02, 1, 32],
            &[0x30, 11, 0x04, 0, 0x02, 1, 16, 0x02, 1, 8, 0x02, 1, 3],
        ];
        let effort = Effort::of_store(&der.concat());
        let memory = (16 * 8 + 8 * 3) * 128;
        assert_eq!(effort, Effort { rounds: 256 + 7 + 16 * 8 * 3, of_one: 256, memory });
        assert_eq!(effort.beyond(effort), None);
        assert!(effort.beyond(Effort { rounds: effort.rounds - 1, ..effort }).is_some());
        assert!(effort.beyond(Effort { memory: effort.memory - 1, ..effort }).is_some());
        assert!(effort.beyond(Effort { of_one: 255, ..effort }).is_some());
    }

    #[test]
    fn a_curve_that_is_spelled_out_and_what_is_encrypted_say_nothing_of_rounds() {
        // Version, field, curve, base, order, cofactor.
        let curve = &[0x30, 16, 0x02, 1, 1, 0x30, 0, 0x30, 0, 0x04, 1, 4, 0x02, 1, 127, 0x02, 1, 1][..];
        // Bytes that look like a salt and its number, and more behind them.
        let encrypted = &[0x30, 13, 0x30, 0, 0x04, 9, 0x30, 5, 0x04, 0, 0x02, 1, 127, 0x30, 0][..];
        for der in [curve, encrypted] {
            assert_eq!(Effort::of_store(der), Effort::default());
        }
    }

    #[test]
    fn a_number_of_any_length_is_at_most_the_largest() {
        let der = [&[0x04, 0, 0x02, 9][..], &[1; 9]].concat();
        assert_eq!(Effort::of_store(&der).rounds, u64::MAX);
        assert_eq!(Effort::of_store(&[0x04, 0, 0x02, 0x89, 1]), Effort::default());
    }
}
