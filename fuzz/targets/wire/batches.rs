//! Batches with each codec: as they come, as compressed bytes, and written and read again.

use ottla_fuzz::{Input, within};
use ottla_protocol::records::{
    BatchBuilder, BatchHeader, BatchWalk, Compression, Compressor, Decompressor, Header, check_crc,
    walk_headers,
};

/// What an inflater holds besides its output.
const CONTEXT: usize = 256 << 10;

fn walk(header: &BatchHeader, bytes: &[u8]) {
    within(0, || {
        let mut walk = BatchWalk::new(header, 0..bytes.len());
        let mut position = header.base_offset;
        while let Some(Ok(span)) = walk.next(bytes) {
            assert!(span.offset >= position && span.offset < header.next_offset());
            position = span.offset + 1;
            let record = span.record(bytes);
            assert!(record.headers().count() <= bytes.len());
        }
    });
}

fn inflate(codec: Compression, bytes: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let read = within(limit + CONTEXT, || Decompressor::new().decompress(codec, bytes, &mut plain, limit));
    assert!(plain.len() <= limit);
    read.is_ok().then_some(plain)
}

/// Records that the input says, which are read as they were written.
fn written(input: &mut Input<'_>) {
    let codec = Compression::ALL[usize::from(input.byte()) % Compression::ALL.len()];
    let mut builder = BatchBuilder::new(codec, 1 << 20);
    let mut records = Vec::new();
    while !input.is_over() {
        let flags = input.byte();
        let (key, value) = (input.bytes(), input.bytes());
        let (key, value) = ((flags & 1 == 0).then_some(key), (flags & 2 == 0).then_some(value));
        let name = input.bytes();
        let header = (flags & 4 != 0).then_some(Header { key: name, value: key });
        if builder.append(i64::from(flags), key, value, header).is_some() {
            records.push((key, value, header.map(|header| header.key)));
        }
    }
    if records.is_empty() {
        return;
    }
    let batch = builder.finish(&mut Compressor::new());
    assert_eq!(check_crc(&batch), Ok(()));
    let header = BatchHeader::decode(&batch).unwrap();
    assert_eq!(header.record_count as usize, records.len());
    let plain = inflate(codec, &batch[header.records_range(0)], 2 << 20).unwrap();
    let mut walk = BatchWalk::new(&header, 0..plain.len());
    for (key, value, name) in records {
        let span = walk.next(&plain).unwrap().unwrap();
        let record = span.record(&plain);
        assert_eq!((record.key, record.value), (key, value));
        assert_eq!(record.headers().next().map(|header| header.unwrap().key), name);
    }
    assert!(walk.next(&plain).is_none());
}

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 8 {
        0 => written(&mut input),
        codec @ 1..=5 => {
            let codec = Compression::ALL[usize::from(codec) % Compression::ALL.len()];
            let limit = usize::from(input.number()) << (input.byte() % 5);
            inflate(codec, input.rest(), limit);
        }
        _ => {
            let frame = input.rest();
            for (range, header) in walk_headers(frame).map_while(Result::ok) {
                let batch = &frame[range];
                assert_eq!(header.size(), batch.len());
                let _ = check_crc(batch);
                let Ok(codec) = header.compression() else { continue };
                if let Some(plain) = inflate(codec, &batch[header.records_range(0)], 256 << 10) {
                    walk(&header, &plain);
                }
            }
        }
    }
}
