//! What the command line reads: formats, delimiters, offsets, times, and plans of `reset-offsets`.

use ottla::{DetachedRecord, Timestamp, fuzzing::with_record};
use ottla_fuzz::{Input, within};
use serde_json::Value;

use crate::{
    format::{Format, Look},
    offsets::Offsets,
    reset,
};

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 4 {
        0 => format(&mut input),
        1 => reset::plans(&mut input),
        2 => reset::times(&mut input),
        _ => offsets(&mut input),
    }
}

fn format(input: &mut Input<'_>) {
    let flags = input.byte();
    let (Some(format), Some(delimiter)) = (input.text(), input.text()) else { return };
    let look = Look {
        format: (flags & 1 == 0).then_some(format),
        json: flags & 2 != 0,
        key_delimiter: (flags & 4 == 0).then_some(format),
        delimiter,
        null: flags & 8 != 0,
    };
    let read = within(64 * (format.len() + delimiter.len()) + 1024, || Format::new(&look));
    let read = match read {
        Ok(read) => read,
        Err(refused) => return assert!(!refused.told().is_empty()),
    };
    let mut record = DetachedRecord::new(("t", i32::from(flags)), i64::from(input.number()));
    record.timestamp = (flags & 16 != 0).then_some(Timestamp(i64::from(flags)));
    record.key = (flags & 32 != 0).then(|| input.bytes().to_vec());
    record.value = (flags & 64 != 0).then(|| input.bytes().to_vec());
    while !input.is_over() {
        let (key, value) = (input.bytes(), input.bytes());
        record.headers.push((key.to_vec(), (!value.is_empty()).then(|| value.to_vec())));
    }
    let mut printed = Vec::new();
    with_record(&record, |record| read.write(record, &mut printed)).unwrap();
    if let Format::Json(end) = &read {
        let object = printed.strip_suffix(end.as_slice()).unwrap();
        let object: Value = serde_json::from_slice(object).unwrap();
        assert_eq!((&object["topic"], &object["offset"]), (&"t".into(), &record.offset.into()));
        let is_text =
            |bytes: &Option<Vec<u8>>| bytes.as_deref().is_none_or(|b| std::str::from_utf8(b).is_ok());
        let names = object.get("base64").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for (name, bytes) in [("key", &record.key), ("payload", &record.value)] {
            assert_eq!(names.contains(&name.into()), !is_text(bytes), "{name}");
            let text = bytes.as_ref().filter(|_| is_text(bytes));
            let text = text.map(|bytes| String::from_utf8(bytes.clone()).unwrap());
            assert!(text.is_none_or(|text| object[name] == text));
        }
    }
}

fn offsets(input: &mut Input<'_>) {
    let mut values = Vec::new();
    while !input.is_over() {
        values.extend(input.text().map(str::to_owned));
    }
    if let Ok(read) = Offsets::parse(&values) {
        assert_eq!(usize::from(read.start.is_some()) + usize::from(read.until.is_some()), values.len());
    }
}
