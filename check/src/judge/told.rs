//! Anomalies while they are put together.

use crate::{Anomaly, Evidence, Kind, history::Entry, report::EVIDENCE};

use super::facts::{At, Facts};

impl<'a> Facts<'a> {
    /// An anomaly of a partition.
    pub(super) fn anomaly(&self, kind: Kind, at: At<'a>, says: impl Into<String>) -> Anomaly {
        Anomaly {
            kind,
            topic: at.0.to_owned(),
            partition: Some(at.1),
            offsets: Vec::new(),
            values: Vec::new(),
            says: format!("{}: {}", named(at), says.into()),
            evidence: Vec::new(),
        }
    }

    /// With a line that proves it.
    pub(super) fn prove(&self, anomaly: &mut Anomaly, line: Option<&Entry>, says: impl Into<String>) {
        if let Some(line) = line
            && anomaly.evidence.len() < EVIDENCE
        {
            let file = self.history.and_then(|history| history.files.get(line.file));
            anomaly.evidence.push(Evidence {
                file: file.cloned().unwrap_or_default(),
                line: line.line,
                process: line.operation.process.clone(),
                says: says.into(),
            });
        }
    }
}

/// With a place where a value is.
pub(super) fn place(anomaly: &mut Anomaly, offset: i64, value: &str) {
    if anomaly.offsets.len() < EVIDENCE {
        anomaly.offsets.push(offset);
        anomaly.values.push(value.to_owned());
    }
}

pub(super) fn named((topic, partition): At<'_>) -> String {
    match topic {
        "" => format!("partition {partition}"),
        topic => format!("{topic}-{partition}"),
    }
}
