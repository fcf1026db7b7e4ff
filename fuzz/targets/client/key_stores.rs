//! Key stores and trust stores: PEM, PKCS#12 and JKS, and the keys in them.

use ottla::fuzzing::store;
use ottla_fuzz::{Input, within};
use ottla_protocol::Secret;

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let flags = input.byte();
    let kind = [None, Some("PEM"), Some("PKCS12"), Some("JKS")][usize::from(flags) % 4];
    // What the stores of the corpus are opened with.
    let password = (flags & 4 == 0).then(|| Secret::from("store-secret"));
    let of_key = (flags & 8 == 0).then(|| Secret::from("store-secret"));
    let bytes = Secret::from(input.rest().to_vec());
    let bound = 64 * data.len() + (1 << 20);
    let read = within(bound, || store(&bytes, kind, password.as_ref(), of_key.as_ref()));
    for (certificates, key) in read.into_iter().flatten() {
        let size = certificates.iter().map(|one| one.len()).sum::<usize>();
        assert!(size <= data.len());
        assert!(key.is_none_or(|key| key.secret_der().len() <= data.len()));
    }
}
