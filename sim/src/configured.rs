//! How consumers are configured, by what a seed contains and what each is there for.

use ottla_core::{
    Address, Assignor, ConnectionConfig, ConsumerConfig, FetchConfig, GroupConfig, GroupProtocol,
    IsolationLevel, MetadataConfig, RangeAssignor, ResetPolicy,
    group::{CooperativeStickyAssignor, RoundRobinAssignor, StickyAssignor},
};

use crate::{
    dice::{Dice, secs},
    habits::Habits,
    mode::{Protocol, Sharing},
    plan::Plan,
    role::{GROUP, Role},
    security::Security,
    setup::{HEARTBEAT_INTERVAL, RETRY_BACKOFF, Setup},
};

fn assignor(sharing: Sharing) -> Box<dyn Assignor> {
    match sharing {
        Sharing::Range => Box::new(RangeAssignor),
        Sharing::RoundRobin => Box::new(RoundRobinAssignor),
        Sharing::Sticky => Box::new(StickyAssignor),
        Sharing::CooperativeSticky => Box::new(CooperativeStickyAssignor),
    }
}

/// The addresses of so many brokers.
pub(crate) fn addresses(brokers: u32) -> Vec<Address> {
    (1..=brokers).map(|node| Address { host: format!("broker-{node}"), port: 9092 }).collect()
}

/// A consumer of which only what a setup says is drawn.
pub(crate) fn plain(setup: &Setup, brokers: u32, d: &mut Dice) -> ConsumerConfig {
    let Setup { request_timeout, .. } = *setup;
    ConsumerConfig {
        connections: ConnectionConfig {
            request_timeout,
            setup_timeout: secs(4),
            ..ConnectionConfig::default()
        },
        metadata: MetadataConfig {
            max_age: secs(300),
            retry_backoff: RETRY_BACKOFF,
            allow_auto_create: false,
        },
        fetch: FetchConfig {
            min_bytes: setup.min_bytes,
            max_bytes: setup.fetch_max,
            partition_max_bytes: setup.partition_max,
            max_wait: setup.max_wait,
            budget: setup.budget,
            request_timeout,
            ..FetchConfig::default()
        },
        retry_backoff: RETRY_BACKOFF,
        seed: d.seed(),
        reset: ResetPolicy::Earliest,
        ..ConsumerConfig::new(addresses(brokers))
    }
}

/// A member whose user is never too slow.
pub(crate) fn member(setup: &Setup, protocol: &Protocol, group: &str) -> GroupConfig {
    let config = GroupConfig {
        session_timeout: setup.session,
        heartbeat_interval: HEARTBEAT_INTERVAL,
        max_poll_interval: secs(120),
        ..GroupConfig::new(group.to_owned())
    };
    speaking(protocol, config)
}

impl Plan {
    pub(crate) fn seeds(&self) -> Vec<Address> {
        addresses(self.broker.brokers)
    }

    pub(crate) fn consumer(&self, role: &Role, habits: &Habits, d: &mut Dice) -> ConsumerConfig {
        let Setup { request_timeout, .. } = self.setup;
        let group = match role {
            Role::Group(_) => Some(GROUP.to_owned()),
            Role::Alone { group, .. } => group.clone(),
        };
        ConsumerConfig {
            connections: ConnectionConfig {
                request_timeout,
                max_idle: d.pick(&[secs(8), secs(540)]),
                setup_timeout: secs(4),
                sasl: self.security.as_ref().map(Security::client),
                ..ConnectionConfig::default()
            },
            metadata: MetadataConfig {
                max_age: self.variety.max_age,
                retry_backoff: RETRY_BACKOFF,
                allow_auto_create: false,
            },
            fetch: FetchConfig {
                min_bytes: self.setup.min_bytes,
                max_bytes: self.setup.fetch_max,
                partition_max_bytes: self.setup.partition_max,
                max_wait: self.setup.max_wait,
                read_ahead: self.variety.read_ahead,
                at_first: self.variety.at_first,
                isolation: IsolationLevel::ReadUncommitted,
                budget: self.setup.budget,
                rack: String::new(),
                request_timeout,
            },
            auto_commit: (group.is_some() && habits.commits == 0.0).then_some(self.setup.auto_commit),
            listener: habits.listener.is_some(),
            reset: habits.beginnings.reset(),
            api_timeout: secs(15),
            retry_backoff: RETRY_BACKOFF,
            seed: d.seed(),
            group: group.map(|id| self.group(id, role, d)),
            ..ConsumerConfig::new(self.seeds())
        }
    }

    fn group(&self, id: String, role: &Role, d: &mut Dice) -> GroupConfig {
        let config = GroupConfig {
            rack: self.variety.racks.then(|| format!("rack-{}", d.number(1..=3))),
            rebalance_timeout: self.variety.rebalance_timeout,
            session_timeout: self.setup.session,
            heartbeat_interval: HEARTBEAT_INTERVAL,
            max_poll_interval: self.max_poll,
            ..GroupConfig::new(id)
        };
        let Some(role) = role.in_group() else { return config };
        let config = GroupConfig { instance_id: role.instance.clone(), ..config };
        speaking(&role.protocol, config)
    }
}

/// A member that speaks this protocol.
fn speaking(protocol: &Protocol, config: GroupConfig) -> GroupConfig {
    match protocol {
        Protocol::Classic(sharing) => {
            GroupConfig { assignors: sharing.iter().map(|sharing| assignor(*sharing)).collect(), ..config }
        }
        Protocol::Consumer(preferred) => GroupConfig {
            protocol: GroupProtocol::Consumer,
            server_assignor: preferred.map(str::to_owned),
            ..config
        },
    }
}
