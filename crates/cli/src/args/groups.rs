//! `ottla groups` and `ottla lag`.

use std::{path::PathBuf, time::Duration};

use clap::{ArgGroup, Args, Subcommand, value_parser};
use ottla::admin::GroupKind;

use super::Common;
use crate::duration;

const UNLIKE_KAFKAS_TO_TELL_LAG: &str = "\
Unlike kafka-consumer-groups --describe: groups of all types are shown, share and streams groups too, and all unless some are named; rows are \
by group, topic and partition; a group that is not there hides no other. The status is 0 once it is done, 1 where it failed, \
2 for wrong usage.";

const UNLIKE_KAFKAS_TO_SHOW_GROUPS: &str = "\
Unlike kafka-consumer-groups: groups of all types are listed, described and deleted, share and streams groups too; they are in \
order, by name; offsets and lag are shown by `ottla lag`; what fails of one group hides no other. The status is 0 once it is \
done, 1 where it failed, 2 for wrong usage.";

const UNLIKE_KAFKAS_TO_RESET: &str = "\
Unlike kafka-consumer-groups --reset-offsets: a group that has members is refused of whatever type, and they are named; a share \
group is refused, see kafka-share-groups; a fraction of --to-datetime has three digits, or is left out; --by-duration takes 1h, \
too; a partition that is named twice counts once; -t beside --all-topics or --from-file is wrong usage; a line of the file \
without an offset is an error; NOTE tells what was clamped. The status is 0 once it is done, 1 where it failed, 2 for wrong usage.";

#[derive(Debug, Args)]
#[command(after_help = UNLIKE_KAFKAS_TO_TELL_LAG)]
pub(crate) struct LagArgs {
    #[command(flatten)]
    pub(crate) groups: GroupsWanted,
    /// Look again and again, until Ctrl-C. TIME-LAG and STATUS follow from what the looks saw
    #[arg(long)]
    pub(crate) watch: bool,
    /// How often to look: 500ms, 30s, 10m [default: 5s]
    #[arg(long, value_name = "TIME", requires = "watch", value_parser = duration::parse)]
    pub(crate) interval: Option<Duration>,
    /// How many looks to take [default: no limit]
    #[arg(long, value_name = "N", requires = "watch", value_parser = value_parser!(u64).range(1..))]
    pub(crate) times: Option<u64>,
    /// TIME-LAG by the timestamp of the record that is read next: one record is fetched of each partition
    #[arg(long)]
    pub(crate) exact: bool,
    /// Where the log ends, by whose reading: for read_committed where the oldest open transaction begins
    /// [default: read_uncommitted]
    #[arg(long, value_name = "LEVEL", value_parser = ["read_uncommitted", "read_committed"])]
    pub(crate) isolation: Option<String>,
    /// LAG-BYTES besides: about how many bytes of the log are ahead, by its size on its leader's disk. It takes the right to
    /// describe the cluster
    #[arg(long)]
    pub(crate) bytes: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Which groups are looked at.
#[derive(Debug, Clone, Args)]
pub(crate) struct GroupsWanted {
    /// Which groups [default: all]
    #[arg(value_name = "GROUP")]
    names: Vec<String>,
    /// The same; repeatable
    #[arg(short = 'G', long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    #[command(flatten)]
    pub(crate) filters: GroupFilters,
}

impl GroupsWanted {
    /// Those that are named, however that was done; none for all.
    pub(crate) fn named(&self) -> Vec<String> {
        [self.names.as_slice(), &self.groups].concat()
    }
}

/// Which groups are shown.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct GroupFilters {
    /// Only groups in one of these states, in any case: Stable, Empty, Dead, PreparingRebalance, CompletingRebalance,
    /// Assigning, Reconciling, NotReady
    #[arg(long = "state", value_name = "STATE,...", value_delimiter = ',', value_parser = state)]
    pub(crate) states: Vec<String>,
    /// Only groups of one of these types, in any case: classic, consumer, share, streams
    #[arg(long = "type", value_name = "TYPE,...", value_delimiter = ',', value_parser = kind)]
    pub(crate) kinds: Vec<GroupKind>,
}

impl GroupFilters {
    pub(crate) fn state(&self, state: &str) -> bool {
        self.states.is_empty() || self.states.iter().any(|wanted| wanted.eq_ignore_ascii_case(state))
    }

    pub(crate) fn kind(&self, kind: Option<GroupKind>) -> bool {
        self.kinds.is_empty() || kind.is_some_and(|kind| self.kinds.contains(&kind))
    }
}

const STATES: [&str; 8] = [
    "Stable",
    "Empty",
    "Dead",
    "PreparingRebalance",
    "CompletingRebalance",
    "Assigning",
    "Reconciling",
    "NotReady",
];

fn state(text: &str) -> Result<String, String> {
    let state = STATES.iter().find(|state| state.eq_ignore_ascii_case(text.trim()));
    state.map(|state| (*state).to_owned()).ok_or_else(|| format!("the states are {}", STATES.join(", ")))
}

fn kind(text: &str) -> Result<GroupKind, String> {
    let names = || GroupKind::ALL.map(GroupKind::name).join(", ");
    GroupKind::by_name(text.trim()).ok_or_else(|| format!("the types are {}", names()))
}

#[derive(Debug, Subcommand)]
#[command(after_help = UNLIKE_KAFKAS_TO_SHOW_GROUPS)]
pub(crate) enum GroupsVerb {
    /// List all groups
    List {
        #[command(flatten)]
        filters: GroupFilters,
        #[command(flatten)]
        common: Common,
    },
    /// Show groups, member by member; with --verbose epochs and what members are to have
    Describe {
        /// Which [default: all]
        groups: Vec<String>,
        /// Which, as with other verbs; repeatable
        #[arg(short = 'G', long = "group", value_name = "GROUP")]
        more: Vec<String>,
        #[command(flatten)]
        filters: GroupFilters,
        #[command(flatten)]
        common: Common,
    },
    /// Delete groups with their offsets: those that have no members
    Delete {
        /// Which
        #[arg(required_unless_present = "more")]
        groups: Vec<String>,
        /// Which, as with other verbs; repeatable
        #[arg(short = 'G', long = "group", value_name = "GROUP")]
        more: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Delete offsets that a group has committed, of topics that no member is subscribed to
    DeleteOffsets {
        /// Whose
        #[arg(short = 'G', long, value_name = "GROUP")]
        group: String,
        /// Of which topic, or partitions of it; repeatable
        #[arg(short, long = "topic", value_name = "TOPIC[:P,P...]", required = true)]
        topics: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Remove members from a group, as if they had left it: one that lives joins anew
    RemoveMember(RemoveMemberArgs),
    /// Move a group's offsets: shows where to, and does it with --execute
    ResetOffsets(Box<ResetOffsetsArgs>),
}

impl GroupsVerb {
    /// The flags that all of them have.
    pub(crate) fn common(&self) -> &Common {
        match self {
            Self::List { common, .. }
            | Self::Describe { common, .. }
            | Self::Delete { common, .. }
            | Self::DeleteOffsets { common, .. } => common,
            Self::RemoveMember(args) => &args.common,
            Self::ResetOffsets(args) => &args.common,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct RemoveMemberArgs {
    /// From which group
    #[arg(short = 'G', long, value_name = "GROUP")]
    pub(crate) group: String,
    /// Members by their ids, as `groups describe` shows them
    #[arg(value_name = "MEMBER")]
    pub(crate) members: Vec<String>,
    /// Static members by their names (group.instance.id); repeatable
    #[arg(long = "instance", value_name = "NAME")]
    pub(crate) instances: Vec<String>,
    /// All that it has
    #[arg(long, conflicts_with_all = ["members", "instances"])]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
#[command(after_help = UNLIKE_KAFKAS_TO_RESET)]
#[command(group = ArgGroup::new("scope").required(true))]
#[command(group = ArgGroup::new("to").required(true))]
pub(crate) struct ResetOffsetsArgs {
    /// Whose; repeatable
    #[arg(short = 'G', long = "group", value_name = "GROUP", required = true)]
    pub(crate) groups: Vec<String>,
    /// Of which topic, or partitions of it, committed or not; repeatable
    #[arg(short, long = "topic", value_name = "TOPIC[:P,P...]", group = "scope")]
    pub(crate) topics: Vec<String>,
    /// Of all partitions that the group has committed
    #[arg(long, group = "scope")]
    pub(crate) all_topics: bool,
    /// To the offsets in a file, as --export writes it, and Kafka's own tool: TOPIC,PARTITION,OFFSET or
    /// GROUP,TOPIC,PARTITION,OFFSET a line
    #[arg(long, value_name = "FILE", groups = ["scope", "to"])]
    pub(crate) from_file: Option<PathBuf>,
    /// To the begin of the log
    #[arg(long, group = "to")]
    pub(crate) to_earliest: bool,
    /// To the end of the log
    #[arg(long, group = "to")]
    pub(crate) to_latest: bool,
    /// Where it is, also outside of the log; a partition without a commit to the end
    #[arg(long, group = "to")]
    pub(crate) to_current: bool,
    /// To this offset, or the nearest that the log has
    #[arg(long, value_name = "N", group = "to", allow_negative_numbers = true)]
    pub(crate) to_offset: Option<i64>,
    /// So many records on, or back, as far as the log goes
    #[arg(long, value_name = "N", group = "to", allow_negative_numbers = true)]
    pub(crate) shift_by: Option<i64>,
    /// To the first record of this time or later, else the end: YYYY-MM-DDThh:mm:ss.fff, with Z or +hh:mm, else UTC
    #[arg(long, value_name = "TIME", group = "to")]
    pub(crate) to_datetime: Option<String>,
    /// The same of so long ago: P1DT2H3M4S, or 30s, 10m, 2h, 1d
    #[arg(long, value_name = "DURATION", group = "to", allow_hyphen_values = true)]
    pub(crate) by_duration: Option<String>,
    /// Do it
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) execute: bool,
    /// Only show it, which is what is done without --execute
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print the new offsets in the form that --from-file reads, here and in Kafka's own tool
    #[arg(long)]
    pub(crate) export: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}
