//! The operations of an admin client, each in a file of its own: what is asked, of which broker and how, what an answer
//! means, and the outcome.

mod abort_transaction;
mod alter_offsets;
mod committed_offsets;
mod configs;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_offsets;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_groups;
mod describe_producers;
mod describe_topics;
mod describe_transactions;
mod described;
mod find_coordinator;
mod list_groups;
mod list_offsets;
mod list_transactions;
mod remove_members;
mod share_offsets;
mod topic_changes;

pub use abort_transaction::*;
pub use alter_offsets::*;
pub use committed_offsets::*;
pub use configs::*;
pub use create_partitions::*;
pub use create_topics::*;
pub use delete_groups::*;
pub use delete_offsets::*;
pub use delete_records::*;
pub use delete_topics::*;
pub use describe_cluster::*;
pub use describe_groups::*;
pub use describe_producers::*;
pub use describe_topics::*;
pub use describe_transactions::*;
pub use find_coordinator::*;
pub use list_groups::*;
pub use list_offsets::*;
pub use list_transactions::*;
pub use remove_members::*;
pub use share_offsets::*;
pub use topic_changes::TopicChanges;
