//! PushTelemetry, API key 72 (KIP-714).

use crate::{
    ErrorCode,
    codec::{ClientInstanceId, message::messages},
    records::{Compression, Compressor},
};

messages! {
    PushTelemetryRequest(versions 0..=0, flexible 0..) {
        client_instance_id: ClientInstanceId,
        subscription_id: i32,
        terminating: bool,
        compression_type: i8,
        metrics: Vec<u8>,
    }

    PushTelemetryResponse(versions 0..=0, flexible 0..) {
        throttle_time_ms: i32,
        error_code: ErrorCode,
    }
}

impl PushTelemetryRequest {
    /// Compresses the metrics, which are plain so far, as the compression type says. What cannot be compressed is sent as it is.
    pub fn compress(&mut self, compressor: &mut Compressor) {
        let codec = u8::try_from(self.compression_type).ok().and_then(Compression::from_id);
        let mut packed = Vec::new();
        match codec.map(|codec| compressor.compress(codec, None, &self.metrics, &mut packed)) {
            Some(Ok(())) => self.metrics = packed,
            _ => self.compression_type = 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Decompressor;

    #[test]
    fn a_clients_id_is_written_as_java_writes_it() {
        let mut id = [0; 16];
        (id[7], id[15]) = (1, 2);
        assert_eq!(ClientInstanceId(id).to_string(), "AAAAAAAAAAEAAAAAAAAAAg");
        assert_eq!(ClientInstanceId([0xFF; 16]).to_string(), "_____________________w");
    }

    #[test]
    fn metrics_are_compressed_as_their_type_says_and_are_plain_where_there_is_no_such_codec() {
        let plain = vec![7; 10_000];
        for codec in Compression::ALL {
            let compression_type = codec.id() as i8;
            let mut push =
                PushTelemetryRequest { compression_type, metrics: plain.clone(), ..Default::default() };
            push.compress(&mut Compressor::new());
            assert_eq!(
                (push.compression_type, push.metrics == plain),
                (compression_type, *codec == Compression::None)
            );
            if *codec != Compression::None {
                let mut back = Vec::new();
                Decompressor::new().decompress(*codec, &push.metrics, &mut back, plain.len()).unwrap();
                assert_eq!(back, plain);
            }
        }
        for compression_type in [5, -1] {
            let mut push =
                PushTelemetryRequest { compression_type, metrics: plain.clone(), ..Default::default() };
            push.compress(&mut Compressor::new());
            assert_eq!((push.compression_type, push.metrics == plain), (0, true));
        }
    }
}
