//! Faults by script: which requests fail, and how.
//!
//! ```
//! # use std::time::Duration;
//! # use ottla_broker::{ApiKey, Cluster, Config, ErrorCode, Fault};
//! # let mut cluster = Cluster::new(Config::default());
//! cluster.faults().on(ApiKey::Fetch).at(2).times(3).then(Fault::Error(ErrorCode::NotLeaderOrFollower));
//! cluster.faults().on(ApiKey::Heartbeat).after(5).then(Fault::Delay(Duration::from_secs(2)));
//! ```

use std::time::Duration;

use ottla_protocol::{ApiKey, ErrorCode};

/// What happens to a request, or to its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this error, wherever its response has room for one, and nothing is done.
    Error(ErrorCode),
    /// Partitions with odd numbers are answered with this error, and nothing is done for them; the others are served.
    /// Produce, Fetch, ListOffsets, OffsetCommit, OffsetFetch, AddPartitionsToTxn, TxnOffsetCommit, DeleteRecords and
    /// OffsetForLeaderEpoch know it; the rest is served as if nothing were.
    ErrorInSome(ErrorCode),
    /// It is served so much later; the connection waits.
    Delay(Duration),
    /// It is done, but a Fetch returns nothing; the answer asks the client to be silent for so long, and until then the
    /// connection serves nothing, as where a quota is exceeded (KIP-219).
    Throttle(Duration),
    /// The connection closes, and nothing is done.
    Disconnect,
    /// Nothing is done, answered or closed; the connection serves nothing any more.
    Silence,
    /// It is done, and the connection closes in place of the answer.
    ApplyThenDisconnect,
    /// It is done, and a byte of the answer is wrong: the last one of the first records that a Fetch returns (one
    /// without records is left alone), the last one of the frame otherwise.
    Corrupt,
}

/// The script. A request meets the first line that fits it.
#[derive(Debug, Default)]
pub struct Faults {
    lines: Vec<Line>,
    happened: u64,
}

/// An error that a script forces into an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forced {
    code: ErrorCode,
    /// Only for partitions with odd numbers.
    some: bool,
}

impl Forced {
    pub(crate) const fn all(code: ErrorCode) -> Self {
        Self { code, some: false }
    }

    pub(crate) const fn some(code: ErrorCode) -> Self {
        Self { code, some: true }
    }

    /// Of the request as a whole.
    pub(crate) fn whole(self) -> Option<ErrorCode> {
        (!self.some).then_some(self.code)
    }

    /// Of one partition.
    pub(crate) fn of(self, partition: i32) -> Option<ErrorCode> {
        (!self.some || partition % 2 == 1).then_some(self.code)
    }
}

#[derive(Debug)]
struct Line {
    api: Option<ApiKey>,
    node: Option<i32>,
    skip: u32,
    times: u32,
    fault: Fault,
}

/// One line of the script while it is written; [`Script::then`] ends it.
#[derive(Debug)]
#[must_use = "a fault is scripted by `then`"]
pub struct Script<'a> {
    faults: &'a mut Faults,
    line: Line,
}

impl Faults {
    /// Requests of this API, once.
    pub fn on(&mut self, api: ApiKey) -> Script<'_> {
        self.script(Some(api))
    }

    /// Requests of any API, once.
    pub fn on_any(&mut self) -> Script<'_> {
        self.script(None)
    }

    fn script(&mut self, api: Option<ApiKey>) -> Script<'_> {
        let line = Line { api, node: None, skip: 0, times: 1, fault: Fault::Disconnect };
        Script { faults: self, line }
    }

    /// Ends all faults that have not happened.
    pub fn clear(&mut self) {
        self.lines.clear();
    }

    /// Whether every fault has happened.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// How often one has happened.
    pub fn happened(&self) -> u64 {
        self.happened
    }

    /// What happens to a request of `api` on `node`.
    pub(crate) fn at_request(&mut self, api: ApiKey, node: i32) -> Option<Fault> {
        self.take(api, node, |fault| *fault != Fault::Corrupt)
    }

    /// Whether the answer to a request of `api` on `node` is made wrong.
    pub(crate) fn corrupts(&mut self, api: ApiKey, node: i32) -> bool {
        self.take(api, node, |fault| *fault == Fault::Corrupt).is_some()
    }

    fn take(&mut self, api: ApiKey, node: i32, fits: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let at = self.lines.iter().position(|line| {
            line.api.is_none_or(|of| of == api) && line.node.is_none_or(|of| of == node) && fits(&line.fault)
        })?;
        let line = self.lines.get_mut(at)?;
        if line.skip > 0 {
            line.skip -= 1;
            return None;
        }
        self.happened += 1;
        line.times = line.times.saturating_sub(1);
        let fault = line.fault.clone();
        if line.times == 0 {
            self.lines.remove(at);
        }
        Some(fault)
    }
}

impl Script<'_> {
    /// Only on this broker.
    pub fn at(mut self, node: i32) -> Self {
        self.line.node = Some(node);
        self
    }

    /// Only after this many requests went through.
    pub fn after(mut self, requests: u32) -> Self {
        self.line.skip = requests;
        self
    }

    /// This many times.
    pub fn times(mut self, times: u32) -> Self {
        self.line.times = times;
        self
    }

    /// Every time, until [`Faults::clear`].
    pub fn always(self) -> Self {
        self.times(u32::MAX)
    }

    /// This happens.
    pub fn then(mut self, fault: Fault) {
        self.line.fault = fault;
        if self.line.times > 0 {
            self.faults.lines.push(self.line);
        }
    }
}
