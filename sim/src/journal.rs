//! What passes on the wire, in lines of the journal.

use ottla_protocol::{Request, Response};

/// A request in a line of the journal.
pub(crate) fn describe(request: &Request) -> String {
    match request {
        Request::Fetch(r) => {
            let mut asked = String::new();
            for topic in &r.topics {
                for p in &topic.partitions {
                    asked += &format!(" {}/{}@{}", topic_name(&topic.topic), p.partition, p.fetch_offset);
                }
            }
            for topic in &r.forgotten_topics_data {
                asked += &format!(" -{:?}", topic.partitions);
            }
            format!("Fetch session {}.{} room {}{asked}", r.session_id, r.session_epoch, r.max_bytes)
        }
        Request::OffsetCommit(r) => {
            let mut asked = String::new();
            for topic in &r.topics {
                for p in &topic.partitions {
                    asked += &format!(" {}-{}={}", topic.name, p.partition_index, p.committed_offset);
                }
            }
            format!("OffsetCommit generation {}{asked}", r.generation_id_or_member_epoch)
        }
        Request::JoinGroup(r) => format!("JoinGroup as {:?}", r.member_id),
        Request::SyncGroup(r) => format!("SyncGroup {} as {:?}", r.generation_id, r.member_id),
        Request::Heartbeat(r) => format!("Heartbeat {}", r.generation_id),
        Request::ConsumerGroupHeartbeat(r) => {
            let owned = r.topic_partitions.as_ref().map(|owned| owned.iter().map(|t| &t.partitions));
            let owned =
                owned.map_or_else(|| "as before".to_owned(), |o| format!("{:?}", o.collect::<Vec<_>>()));
            format!("ConsumerGroupHeartbeat {} as {:?}, owns {owned}", r.member_epoch, r.member_id)
        }
        Request::OffsetFetch(_) | Request::Metadata(_) | Request::ApiVersions(_) | Request::Produce(_) => {
            format!("{:?}", request.key())
        }
        other => format!("{other:?}"),
    }
}

fn topic_name(name: &str) -> &str {
    if name.is_empty() { "id" } else { name }
}

/// A response in a line of the journal.
pub(crate) fn describe_response(response: &Response) -> String {
    match response {
        Response::Fetch(r) => {
            let mut told = String::new();
            for topic in &r.responses {
                for p in &topic.partitions {
                    let size = p.records.as_ref().map_or(0, |records| records.len());
                    told += &format!(
                        " {}/{}: {} bytes of {}",
                        topic_name(&topic.topic),
                        p.partition_index,
                        size,
                        p.high_watermark
                    );
                    if !p.error_code.is_ok() {
                        told += &format!(" {}", p.error_code);
                    }
                }
            }
            format!("Fetch session {} {}{told}", r.session_id, r.error_code)
        }
        Response::JoinGroup(r) => format!(
            "JoinGroup {} generation {} as {:?}, leader {:?}",
            r.error_code, r.generation_id, r.member_id, r.leader
        ),
        Response::SyncGroup(r) => format!("SyncGroup {}", r.error_code),
        Response::Heartbeat(r) => format!("Heartbeat {}", r.error_code),
        Response::ConsumerGroupHeartbeat(r) => {
            let assigned = r.assignment.as_ref().map(|a| a.topic_partitions.iter().map(|t| &t.partitions));
            let assigned =
                assigned.map_or_else(|| "as before".to_owned(), |a| format!("{:?}", a.collect::<Vec<_>>()));
            format!("ConsumerGroupHeartbeat {} {}, assigned {assigned}", r.error_code, r.member_epoch)
        }
        Response::OffsetCommit(r) => {
            let mut told = String::new();
            for topic in &r.topics {
                for p in &topic.partitions {
                    let name = topic_name(&topic.name);
                    told += &format!(" {name}-{}: {}", p.partition_index, p.error_code);
                }
            }
            format!("OffsetCommit{told}")
        }
        Response::OffsetFetch(r) => {
            let mut told = String::new();
            for topic in r.groups.iter().flat_map(|group| &group.topics) {
                for p in &topic.partitions {
                    let (name, offset) = (topic_name(&topic.name), p.committed_offset);
                    told += &format!(" {name}-{}={offset} {}", p.partition_index, p.error_code);
                }
            }
            format!("OffsetFetch{told}")
        }
        Response::Metadata(_) | Response::ApiVersions(_) | Response::Produce(_) => {
            format!("{:?}", response.key())
        }
        other => format!("{other:?}"),
    }
}
