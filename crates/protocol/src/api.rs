//! Which APIs there are: keys, versions, negotiation, and the frames around their messages.

use crate::ErrorCode;
use crate::codec::{
    DecodeError, DecodeErrorKind, FrameBuilder, MessageSchema, Reader, RequestFrame, Version, Versions, Wire,
    Writable, message::fields,
};
use crate::messages::*;

/// A message that travels by itself.
pub trait Message: Wire {
    /// Its name in Kafka's schema files.
    const NAME: &'static str;
    /// The versions that are defined here: every stable one.
    const VERSIONS: Versions;
    /// The first flexible version (KIP-482).
    const FLEXIBLE: i16;
    /// What a test compares with Kafka's schema file.
    const SCHEMA: MessageSchema = MessageSchema {
        name: Self::NAME,
        versions: Self::VERSIONS,
        flexible_since: Self::FLEXIBLE,
        fields: fields(Self::TYPE),
    };

    /// How its fields are written in `version`.
    fn version(version: i16) -> Version {
        Version { number: version, flexible: version >= Self::FLEXIBLE, nullable: false }
    }
}

/// A message that asks.
pub trait RequestMessage: Message {
    /// Its API.
    const KEY: ApiKey;
    /// The message that answers it.
    type Response: Message;
}

/// The first of an API whose answers know no throttling, the second of any other.
macro_rules! throttling {
    (unthrottled => $none:expr, $some:expr) => {
        $none
    };
    (=> $none:expr, $some:expr) => {
        $some
    };
}

macro_rules! apis {
    ($( $api:ident = $key:literal: $request:ident, $response:ident $(, $unthrottled:ident)?; )*) => {
        /// An API that is defined here.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize))]
        #[non_exhaustive]
        pub enum ApiKey {
            $( #[doc = stringify!($api)] $api = $key, )*
        }

        impl ApiKey {
            /// Every API.
            pub const ALL: &[Self] = &[$( Self::$api ),*];

            /// The API with this key.
            pub const fn from_key(key: i16) -> Option<Self> {
                match key {
                    $( $key => Some(Self::$api), )*
                    _ => None,
                }
            }

            /// The versions that are defined here.
            #[doc(hidden)]
            pub const fn versions(self) -> Versions {
                match self {
                    $( Self::$api => $request::VERSIONS, )*
                }
            }

            /// The facts of the message that asks.
            #[doc(hidden)]
            pub const fn request_schema(self) -> MessageSchema {
                match self {
                    $( Self::$api => $request::SCHEMA, )*
                }
            }

            /// The facts of the message that answers.
            #[doc(hidden)]
            pub const fn response_schema(self) -> MessageSchema {
                match self {
                    $( Self::$api => $response::SCHEMA, )*
                }
            }

            const fn flexible_since(self) -> i16 {
                match self {
                    $( Self::$api => $request::FLEXIBLE, )*
                }
            }
        }

        $( impl RequestMessage for $request {
            const KEY: ApiKey = ApiKey::$api;
            type Response = $response;
        } )*

        /// Any request.
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        #[expect(missing_docs, reason = "the messages are documented where they are defined")]
        pub enum Request { $( $api($request), )* }

        /// Any response.
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        #[expect(missing_docs, reason = "the messages are documented where they are defined")]
        pub enum Response { $( $api($response), )* }

        impl Request {
            /// Its API.
            pub const fn key(&self) -> ApiKey {
                match self { $( Self::$api(_) => ApiKey::$api, )* }
            }

            fn encode<W: Writable>(&self, out: &mut W, version: i16) {
                match self { $( Self::$api(m) => m.encode(out, $request::version(version)), )* }
            }

            fn decode(key: ApiKey, version: i16, r: &mut Reader<'_>) -> Result<Self, DecodeError> {
                match key { $( ApiKey::$api => Wire::decode(r, $request::version(version)).map(Self::$api), )* }
            }
        }

        impl Response {
            /// Its API.
            pub const fn key(&self) -> ApiKey {
                match self { $( Self::$api(_) => ApiKey::$api, )* }
            }

            /// How long the broker asks its client to be silent on this connection, in milliseconds (KIP-219).
            pub const fn throttle_time_ms(&self) -> i32 {
                match self { $( Self::$api(_m) => throttling!($($unthrottled)? => 0, _m.throttle_time_ms), )* }
            }

            /// Asks the client to be silent for so long.
            pub const fn set_throttle_time_ms(&mut self, ms: i32) {
                match self {
                    $( Self::$api(_m) => throttling!($($unthrottled)? => _ = ms, _m.throttle_time_ms = ms), )*
                }
            }

            fn encode(&self, out: &mut Vec<u8>, version: i16) {
                match self { $( Self::$api(m) => m.encode(out, $response::version(version)), )* }
            }

            fn decode(key: ApiKey, version: i16, r: &mut Reader<'_>) -> Result<Self, DecodeError> {
                match key { $( ApiKey::$api => Wire::decode(r, $response::version(version)).map(Self::$api), )* }
            }
        }

        $( impl From<$request> for Request {
            fn from(message: $request) -> Self { Self::$api(message) }
        }
        impl From<$response> for Response {
            fn from(message: $response) -> Self { Self::$api(message) }
        } )*
    };
}

apis! {
    Produce = 0: ProduceRequest, ProduceResponse;
    Fetch = 1: FetchRequest, FetchResponse;
    ListOffsets = 2: ListOffsetsRequest, ListOffsetsResponse;
    Metadata = 3: MetadataRequest, MetadataResponse;
    OffsetCommit = 8: OffsetCommitRequest, OffsetCommitResponse;
    OffsetFetch = 9: OffsetFetchRequest, OffsetFetchResponse;
    FindCoordinator = 10: FindCoordinatorRequest, FindCoordinatorResponse;
    JoinGroup = 11: JoinGroupRequest, JoinGroupResponse;
    Heartbeat = 12: HeartbeatRequest, HeartbeatResponse;
    LeaveGroup = 13: LeaveGroupRequest, LeaveGroupResponse;
    SyncGroup = 14: SyncGroupRequest, SyncGroupResponse;
    DescribeGroups = 15: DescribeGroupsRequest, DescribeGroupsResponse;
    ListGroups = 16: ListGroupsRequest, ListGroupsResponse;
    SaslHandshake = 17: SaslHandshakeRequest, SaslHandshakeResponse, unthrottled;
    ApiVersions = 18: ApiVersionsRequest, ApiVersionsResponse;
    CreateTopics = 19: CreateTopicsRequest, CreateTopicsResponse;
    DeleteTopics = 20: DeleteTopicsRequest, DeleteTopicsResponse;
    DeleteRecords = 21: DeleteRecordsRequest, DeleteRecordsResponse;
    InitProducerId = 22: InitProducerIdRequest, InitProducerIdResponse;
    OffsetForLeaderEpoch = 23: OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse;
    AddPartitionsToTxn = 24: AddPartitionsToTxnRequest, AddPartitionsToTxnResponse;
    AddOffsetsToTxn = 25: AddOffsetsToTxnRequest, AddOffsetsToTxnResponse;
    EndTxn = 26: EndTxnRequest, EndTxnResponse;
    WriteTxnMarkers = 27: WriteTxnMarkersRequest, WriteTxnMarkersResponse, unthrottled;
    TxnOffsetCommit = 28: TxnOffsetCommitRequest, TxnOffsetCommitResponse;
    DescribeConfigs = 32: DescribeConfigsRequest, DescribeConfigsResponse;
    DescribeLogDirs = 35: DescribeLogDirsRequest, DescribeLogDirsResponse;
    SaslAuthenticate = 36: SaslAuthenticateRequest, SaslAuthenticateResponse, unthrottled;
    CreatePartitions = 37: CreatePartitionsRequest, CreatePartitionsResponse;
    DeleteGroups = 42: DeleteGroupsRequest, DeleteGroupsResponse;
    IncrementalAlterConfigs = 44: IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse;
    OffsetDelete = 47: OffsetDeleteRequest, OffsetDeleteResponse;
    DescribeProducers = 61: DescribeProducersRequest, DescribeProducersResponse;
    DescribeTransactions = 65: DescribeTransactionsRequest, DescribeTransactionsResponse;
    ListTransactions = 66: ListTransactionsRequest, ListTransactionsResponse;
    ConsumerGroupHeartbeat = 68: ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse;
    ConsumerGroupDescribe = 69: ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse;
    GetTelemetrySubscriptions = 71: GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse;
    PushTelemetry = 72: PushTelemetryRequest, PushTelemetryResponse;
    DescribeTopicPartitions = 75: DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse;
    ShareGroupDescribe = 77: ShareGroupDescribeRequest, ShareGroupDescribeResponse;
    StreamsGroupDescribe = 89: StreamsGroupDescribeRequest, StreamsGroupDescribeResponse;
    DescribeShareGroupOffsets = 90: DescribeShareGroupOffsetsRequest, DescribeShareGroupOffsetsResponse;
}

/// What stands in front of every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader {
    /// The API asked.
    pub key: ApiKey,
    /// The version of both messages.
    pub version: i16,
    /// Comes back in the response's header.
    pub correlation_id: i32,
    /// The client's name for itself.
    pub client_id: Option<String>,
}

impl Request {
    /// Whether a broker answers it: a Produce without acknowledgements is not, nor is its failure told.
    pub const fn is_answered(&self) -> bool {
        !matches!(self, Self::Produce(produce) if produce.acks == 0)
    }
}

impl RequestHeader {
    const fn flexible(&self) -> bool {
        self.version >= self.key.flexible_since()
    }

    /// A whole frame: length, header, message.
    pub fn encode(&self, request: &Request) -> Vec<u8> {
        // What carries much is not to be moved as it grows.
        let much = if let Request::Produce(request) = request { request.size_estimate() } else { 0 };
        let mut out = Vec::with_capacity(much + 256);
        self.write(request, &mut out);
        with_length(out)
    }

    /// A whole frame, as [`encode`](Self::encode) gives it, but that large batches stay where they are.
    pub fn frame(&self, request: Request) -> RequestFrame {
        let parts = if let Request::Produce(produce) = &request { produce.partitions() } else { 0 };
        let mut out = FrameBuilder::new(parts);
        self.write(&request, &mut out);
        match request {
            Request::Produce(produce) => out.finish(produce.into_batches()),
            _ => out.finish([]),
        }
    }

    /// Room for the length, header, message.
    fn write(&self, request: &Request, out: &mut impl Writable) {
        out.bytes().extend_from_slice(&[0; 4]);
        let fixed = Version { number: self.version, flexible: false, nullable: true };
        (self.key as i16).encode(out, fixed);
        self.version.encode(out, fixed);
        self.correlation_id.encode(out, fixed);
        // The client id keeps its two-byte length in flexible versions too, so that any broker can answer ApiVersions.
        self.client_id.encode(out, fixed);
        if self.flexible() {
            out.bytes().push(0);
        }
        request.encode(out, self.version);
    }

    /// Reads a frame, its length cut off already. [`DecodeErrorKind::UnknownApi`] where the key or the version is not
    /// one of ours.
    pub fn decode(frame: &[u8]) -> Result<(Self, Request), DecodeError> {
        let mut r = Reader::new(frame);
        let header = Self::decode_header(&mut r)?;
        let request = Request::decode(header.key, header.version, &mut r)?;
        r.finish()?;
        Ok((header, request))
    }

    fn decode_header(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let fixed = Version { number: 0, flexible: false, nullable: true };
        let start = r.clone();
        let (key, version) = (i16::decode(r, fixed)?, i16::decode(r, fixed)?);
        let known = ApiKey::from_key(key).filter(|key| key.versions().contains(version));
        let key = known.ok_or_else(|| start.error(DecodeErrorKind::UnknownApi { key, version }))?;
        let correlation_id = i32::decode(r, fixed)?;
        let client_id = Wire::decode(r, fixed).map_err(|e: DecodeError| e.in_field("client_id"))?;
        let header = Self { key, version, correlation_id, client_id };
        if header.flexible() {
            crate::codec::tagged::decode_tagged(r, |_, _| Ok(()))?;
        }
        Ok(header)
    }
}

/// What stands in front of every response, and how to read what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseHeader {
    /// The API that was asked.
    pub key: ApiKey,
    /// The version of both messages.
    pub version: i16,
    /// The request's.
    pub correlation_id: i32,
}

impl ResponseHeader {
    /// ApiVersions is answered without tagged fields in the header whatever its version, as the asker may know none.
    const fn flexible(self) -> bool {
        !matches!(self.key, ApiKey::ApiVersions) && self.version >= self.key.flexible_since()
    }

    /// A whole frame: length, header, message.
    pub fn encode(self, response: &Response) -> Vec<u8> {
        let mut out = vec![0; 4];
        out.extend_from_slice(&self.correlation_id.to_be_bytes());
        if self.flexible() {
            out.push(0);
        }
        response.encode(&mut out, self.version);
        with_length(out)
    }

    /// The correlation id of a frame, its length cut off already.
    pub fn correlation_id(frame: &[u8]) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(Reader::new(frame).array()?))
    }

    /// Reads the response to a request of `key` and `version` from a frame, its length cut off already.
    pub fn decode(key: ApiKey, version: i16, frame: &[u8]) -> Result<(Self, Response), DecodeError> {
        let mut r = Reader::new(frame);
        let header = Self { key, version, correlation_id: i32::from_be_bytes(r.array()?) };
        if header.flexible() {
            crate::codec::tagged::decode_tagged(&mut r, |_, _| Ok(()))?;
        }
        // KIP-511: a broker that does not know the version of ApiVersions that was asked answers in version 0.
        let refused = matches!(key, ApiKey::ApiVersions)
            && r.clone().array().is_ok_and(|code| {
                ErrorCode::from_code(i16::from_be_bytes(code)) == ErrorCode::UnsupportedVersion
            });
        let response = Response::decode(key, if refused { 0 } else { version }, &mut r)?;
        r.finish()?;
        Ok((header, response))
    }
}

fn with_length(mut frame: Vec<u8>) -> Vec<u8> {
    let length = (frame.len() - 4) as u32;
    if let Some(head) = frame.first_chunk_mut() {
        *head = length.to_be_bytes();
    }
    frame
}
