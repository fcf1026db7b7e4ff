//! Variable-length integers: base 128, low digits first, the signed ones zigzag-folded.

/// Appends an unsigned integer.
pub fn put_unsigned_varint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed integer.
pub fn put_varint(out: &mut Vec<u8>, value: i32) {
    put_unsigned_varint(out, ((value << 1) ^ (value >> 31)) as u32);
}

/// Appends an unsigned long.
pub fn put_unsigned_varlong(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed long.
pub fn put_varlong(out: &mut Vec<u8>, value: i64) {
    put_unsigned_varlong(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// How many bytes [`put_unsigned_varint`] appends.
pub const fn unsigned_varint_len(value: u32) -> usize {
    if value < 0x80 { 1 } else { ((38 - value.leading_zeros()) / 7) as usize }
}

/// How many bytes [`put_varint`] appends.
pub const fn varint_len(value: i32) -> usize {
    unsigned_varint_len(((value << 1) ^ (value >> 31)) as u32)
}

/// How many bytes [`put_varlong`] appends.
pub const fn varlong_len(value: i64) -> usize {
    let folded = ((value << 1) ^ (value >> 63)) as u64;
    ((70 - (folded | 1).leading_zeros()) / 7) as usize
}
