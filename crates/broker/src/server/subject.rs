//! The subject of a certificate, written as Java's `X500Principal` writes it by default (RFC 2253), which is Kafka's principal.

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
/// The explicit tag of a certificate's version.
const VERSION: u8 = 0xA0;

/// The attributes that RFC 2253 has names for; the others are written by their numbers.
const NAMES: &[(&[u8], &str)] = &[
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 9], "STREET"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xF2, 0x2C, 0x64, 1, 1], "UID"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xF2, 0x2C, 0x64, 1, 25], "DC"),
];

/// The subject of a certificate in DER, the last part first. None where it is not one.
pub(super) fn subject(certificate: &[u8]) -> Option<String> {
    let (certificate, _) = take(certificate, SEQUENCE)?;
    let (mut tbs, _) = take(certificate, SEQUENCE)?;
    if tbs.first() == Some(&VERSION) {
        tbs = element(tbs)?.rest;
    }
    // Serial number, algorithm, issuer, validity.
    for _ in 0..4 {
        tbs = element(tbs)?.rest;
    }
    let (mut name, _) = take(tbs, SEQUENCE)?;
    let mut parts = Vec::new();
    while !name.is_empty() {
        let (mut set, rest) = take(name, SET)?;
        let mut attributes = Vec::new();
        while !set.is_empty() {
            let (attribute, others) = take(set, SEQUENCE)?;
            attributes.push(write(attribute)?);
            set = others;
        }
        parts.push(attributes.join("+"));
        name = rest;
    }
    parts.reverse();
    Some(parts.join(","))
}

/// One `NAME=value`.
fn write(attribute: &[u8]) -> Option<String> {
    let (oid, value) = take(attribute, OID)?;
    let Element { tag, content, .. } = element(value)?;
    let name = NAMES.iter().find(|(known, _)| *known == oid).map(|(_, name)| *name);
    let text = match tag {
        // UTF8String, PrintableString and IA5String; BMPString.
        0x0C | 0x13 | 0x16 => std::str::from_utf8(content).ok().map(str::to_owned),
        0x1E => {
            let units =
                content.chunks_exact(2).map(|pair| pair.iter().fold(0, |unit, &b| unit << 8 | u16::from(b)));
            String::from_utf16(&units.collect::<Vec<_>>()).ok()
        }
        _ => None,
    };
    match (name, text) {
        (Some(name), Some(text)) => Some(format!("{name}={}", escape(&text))),
        (name, _) => {
            let name = name.map_or_else(|| dotted(oid), str::to_owned);
            let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
            Some(format!("{name}=#{hex}"))
        }
    }
}

fn escape(text: &str) -> String {
    let last = text.chars().count().saturating_sub(1);
    let mut escaped = String::with_capacity(text.len());
    for (at, c) in text.chars().enumerate() {
        let special = matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';');
        if special || (c == '#' && at == 0) || (c == ' ' && (at == 0 || at == last)) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// An object identifier as numbers.
fn dotted(oid: &[u8]) -> String {
    let mut numbers: Vec<u64> = Vec::new();
    let mut number: u64 = 0;
    for byte in oid {
        number = number.wrapping_shl(7) | u64::from(byte & 0x7F);
        if byte & 0x80 == 0 {
            if numbers.is_empty() {
                let first = (number / 40).min(2);
                numbers.extend([first, number - first * 40]);
            } else {
                numbers.push(number);
            }
            number = 0;
        }
    }
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    rest: &'a [u8],
}

/// The first element of DER, and what follows it.
fn element(der: &[u8]) -> Option<Element<'_>> {
    let (&tag, der) = der.split_first()?;
    let (&short, mut der) = der.split_first()?;
    let mut length = usize::from(short);
    if short & 0x80 != 0 {
        let (bytes, rest) =
            der.split_at_checked(usize::from(short & 0x7F)).filter(|(bytes, _)| bytes.len() <= 4)?;
        length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        der = rest;
    }
    let (content, rest) = der.split_at_checked(length)?;
    Some(Element { tag, content, rest })
}

fn take(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    element(der).filter(|element| element.tag == tag).map(|element| (element.content, element.rest))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    fn of(entries: &[(DnType, &str)]) -> String {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in entries {
            params.distinguished_name.push(kind.clone(), *value);
        }
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        subject(certificate.der()).unwrap()
    }

    #[test]
    fn the_last_part_comes_first() {
        let o = (DnType::OrganizationName, "Test");
        assert_eq!(of(&[o.clone(), (DnType::CommonName, "carol")]), "CN=carol,O=Test");
        assert_eq!(
            of(&[(DnType::CountryName, "DE"), o, (DnType::OrganizationalUnitName, "a b")]),
            "OU=a b,O=Test,C=DE"
        );
    }

    #[test]
    fn what_means_something_is_escaped_and_what_has_no_name_is_a_number() {
        assert_eq!(of(&[(DnType::CommonName, " a,b+c#\"\\ ")]), r#"CN=\ a\,b\+c#\"\\\ "#);
        let email = DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]);
        assert_eq!(of(&[(email, "a@b")]), "1.2.840.113549.1.9.1=#0c03614062");
    }

    #[test]
    fn no_bytes_are_a_panic() {
        let mut rng = fastrand::Rng::with_seed(1);
        let key = KeyPair::generate().unwrap();
        let good = CertificateParams::new(vec!["a".to_owned()]).unwrap().self_signed(&key).unwrap();
        for _ in 0..20_000 {
            let mut bytes = good.der().to_vec();
            let at = rng.usize(..bytes.len().min(200));
            bytes[at] = rng.u8(..);
            bytes.truncate(rng.usize(..=bytes.len()));
            let _ = subject(&bytes);
        }
    }
}
