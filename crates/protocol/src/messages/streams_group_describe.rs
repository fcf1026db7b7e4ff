//! StreamsGroupDescribe, API key 89 (KIP-1071).

use crate::{ErrorCode, codec::message::messages};

messages! {
    StreamsGroupDescribeRequest(versions 0..=1, flexible 0..) {
        group_ids: Vec<String>,
        include_authorized_operations: bool,
        include_topology_description: bool [1..],
    }

    StreamsGroupDescribeResponse(versions 0..=1, flexible 0..) {
        throttle_time_ms: i32,
        groups: Vec<StreamsGroupDescribeDescribedGroup>,
    }

    StreamsGroupDescribeDescribedGroup {
        error_code: ErrorCode,
        error_message: Option<String>,
        group_id: String,
        group_state: String,
        group_epoch: i32,
        assignment_epoch: i32,
        topology: Option<StreamsGroupDescribeTopology>,
        members: Vec<StreamsGroupDescribeMember>,
        authorized_operations: i32 = i32::MIN,
        topology_description: Option<StreamsGroupDescribeTopologyDescription> [1..],
        topology_description_status: i8 [1..],
        assignor_name: Option<String> [1..],
    }

    StreamsGroupDescribeTopology {
        epoch: i32,
        subtopologies: Option<Vec<StreamsGroupDescribeSubtopology>>,
    }

    StreamsGroupDescribeSubtopology {
        subtopology_id: String,
        source_topics: Vec<String>,
        repartition_sink_topics: Vec<String>,
        state_changelog_topics: Vec<StreamsGroupDescribeTopicInfo>,
        repartition_source_topics: Vec<StreamsGroupDescribeTopicInfo>,
    }

    StreamsGroupDescribeTopicInfo {
        name: String,
        partitions: i32,
        replication_factor: i16,
        topic_configs: Vec<StreamsGroupDescribeKeyValue>,
    }

    StreamsGroupDescribeKeyValue {
        key: String,
        value: String,
    }

    StreamsGroupDescribeMember {
        member_id: String,
        member_epoch: i32,
        instance_id: Option<String>,
        rack_id: Option<String>,
        client_id: String,
        client_host: String,
        topology_epoch: i32,
        process_id: String,
        user_endpoint: Option<StreamsGroupDescribeEndpoint>,
        client_tags: Vec<StreamsGroupDescribeKeyValue>,
        task_offsets: Vec<StreamsGroupDescribeTaskOffset>,
        task_end_offsets: Vec<StreamsGroupDescribeTaskOffset>,
        assignment: StreamsGroupDescribeAssignment,
        target_assignment: StreamsGroupDescribeAssignment,
        is_classic: bool,
    }

    StreamsGroupDescribeEndpoint {
        host: String,
        port: u16,
    }

    StreamsGroupDescribeTaskOffset {
        subtopology_id: String,
        partition: i32,
        offset: i64,
    }

    StreamsGroupDescribeAssignment {
        active_tasks: Vec<StreamsGroupDescribeTaskIds>,
        standby_tasks: Vec<StreamsGroupDescribeTaskIds>,
        warmup_tasks: Vec<StreamsGroupDescribeTaskIds>,
    }

    StreamsGroupDescribeTaskIds {
        subtopology_id: String,
        partitions: Vec<i32>,
    }

    StreamsGroupDescribeTopologyDescription {
        subtopologies: Vec<StreamsGroupDescribeTopologyDescriptionSubtopology>,
        global_stores: Vec<StreamsGroupDescribeTopologyDescriptionGlobalStore>,
    }

    StreamsGroupDescribeTopologyDescriptionSubtopology {
        subtopology_id: String,
        nodes: Vec<StreamsGroupDescribeTopologyDescriptionNode>,
    }

    StreamsGroupDescribeTopologyDescriptionNode {
        name: String,
        /// 1 is a source, 2 a processor, 3 a sink.
        node_type: i8,
        source_topics: Vec<String>,
        sink_topic: Option<String>,
        stores: Vec<String>,
        successors: Vec<String>,
    }

    StreamsGroupDescribeTopologyDescriptionGlobalStore {
        source: StreamsGroupDescribeTopologyDescriptionNode,
        processor: StreamsGroupDescribeTopologyDescriptionNode,
    }
}
