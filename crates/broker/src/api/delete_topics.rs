//! DeleteTopics: by name, from version 6 on by id too.

use ottla_protocol::{
    ErrorCode, TopicId,
    messages::{
        DeleteTopicsDeletableTopicResult, DeleteTopicsDeleteTopicState, DeleteTopicsRequest,
        DeleteTopicsResponse,
    },
};

use crate::{Cluster, connections::Asked, security::Operation};

/// From this version on a topic may be named by its id.
const BY_ID: i16 = 6;

pub(super) fn handle(
    cluster: &mut Cluster,
    asked: &Asked,
    request: DeleteTopicsRequest,
    forced: Option<ErrorCode>,
) -> DeleteTopicsResponse {
    let by_name = |name| DeleteTopicsDeleteTopicState { name: Some(name), topic_id: TopicId::ZERO };
    let wanted = if asked.header.version >= BY_ID {
        request.topics
    } else {
        request.topic_names.into_iter().map(by_name).collect()
    };
    let mut responses = Vec::with_capacity(wanted.len());
    for topic in wanted {
        let by_id = topic.name.is_none();
        let name = topic.name.or_else(|| cluster.topics.name_of(topic.topic_id).map(str::to_owned));
        let id = name.as_deref().and_then(|name| cluster.topics.find(name)).map(|topic| topic.id);
        let may = |operation| {
            let name = name.as_deref();
            name.map_or(Ok(()), |name| cluster.config.check_topic(&asked.principal, operation, name))
        };
        let (deletes, describes) = (may(Operation::Delete), may(Operation::Describe));
        let error_code = match (forced, &name) {
            (Some(code), _) => code,
            (None, _) if deletes.is_err() => ErrorCode::TopicAuthorizationFailed,
            (None, Some(name)) if id.is_some() && cluster.delete_topic(name) => ErrorCode::None,
            (None, Some(_)) if id.is_some() => ErrorCode::KafkaStorageError,
            (None, _) if by_id => ErrorCode::UnknownTopicId,
            (None, _) => ErrorCode::UnknownTopicOrPartition,
        };
        // Who named a topic by one thing, and may not know of it, is not told the other.
        let hides = forced.is_none() && describes.is_err();
        let topic_id = id.filter(|_| !hides).unwrap_or(topic.topic_id);
        responses.push(DeleteTopicsDeletableTopicResult {
            name: name.filter(|_| !(hides && by_id)),
            topic_id,
            error_code,
            error_message: deletes
                .err()
                .filter(|_| forced.is_none())
                .map(|_| "Topic authorization failed.".to_owned()),
        });
    }
    DeleteTopicsResponse { responses, ..Default::default() }
}
