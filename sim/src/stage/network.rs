//! The network: frames that take their time, and connections that break.

use std::time::Duration;

use ottla_core::{ConnId, Disconnected};

use super::{Event, Link, LinkId, LinkState, Outage, Stage, Weather, Who};

impl Stage {
    fn latency(&mut self) -> Duration {
        let Weather { latency, jitter, spikes, spike } = self.net.weather.clone();
        let extra = self.dice.time(Duration::ZERO..=jitter);
        let late = match !self.quiet && self.dice.chance(spikes) {
            true => self.dice.time(Duration::ZERO..=spike),
            false => Duration::ZERO,
        };
        latency + extra + late
    }

    /// A client connects. The address is `broker-<node>:9092`.
    pub(crate) fn connect(&mut self, who: Who, conn: ConnId, host: &str) -> LinkId {
        let node = host.strip_prefix("broker-").and_then(|node| node.parse().ok()).unwrap_or(-1);
        self.net.opened += 1;
        let id = LinkId(self.net.opened);
        let (up, down) = (self.time, self.time);
        let link = Link { who, conn, node, broker: None, state: LinkState::Open, up, down };
        self.net.links.insert(id, link);
        let wait = self.latency();
        let cut_off = self.net.cut_off.is_some_and(|(whom, until)| whom == who && self.time < until);
        match self.net.outages.get(&node) {
            _ if cut_off => self.darken(id),
            Some(Outage::Refuses) => self.after(wait, Event::Refuse(id)),
            Some(Outage::Swallows) => self.darken(id),
            None => self.after(wait, Event::Connect(id)),
        }
        id
    }

    /// Takes a frame towards the broker, in order.
    pub(crate) fn send_up(&mut self, id: LinkId, frame: Vec<u8>) {
        let latency = self.latency();
        let Some(link) = self.net.links.get_mut(&id) else { return };
        let at = (self.time + latency).max(link.up + Duration::from_micros(1));
        link.up = at;
        self.schedule(at, Event::Up(id, frame));
    }

    /// Takes a frame towards the client, in order.
    pub(crate) fn send_down(&mut self, id: LinkId, frame: Vec<u8>) {
        let latency = self.latency();
        let Some(link) = self.net.links.get_mut(&id) else { return };
        let at = (self.time + latency).max(link.down + Duration::from_micros(1));
        link.down = at;
        self.schedule(at, Event::Down(id, frame));
    }

    pub(crate) fn link(&mut self, id: LinkId) -> Option<&mut Link> {
        self.net.links.get_mut(&id)
    }

    /// The connections that stand: whatever is said on them is heard.
    pub(crate) fn standing(&self) -> Vec<LinkId> {
        let stands = |link: &Link| link.broker.is_some() && link.state == LinkState::Open;
        self.net.links.iter().filter(|(_, link)| stands(link)).map(|(id, _)| *id).collect()
    }

    pub(crate) fn link_of(&self, broker: ottla_broker::ConnId) -> Option<LinkId> {
        self.net.by_broker.get(&broker).copied()
    }

    /// The broker accepts a connection.
    pub(crate) fn accept(&mut self, id: LinkId, broker: ottla_broker::ConnId) {
        self.net.by_broker.insert(broker, id);
        if let Some(link) = self.net.links.get_mut(&id) {
            link.broker = Some(broker);
        }
    }

    /// The broker has nothing to do with a connection any more.
    pub(crate) fn part(&mut self, id: LinkId) -> Option<ottla_broker::ConnId> {
        let broker = self.net.links.get_mut(&id)?.broker.take()?;
        self.net.by_broker.remove(&broker);
        Some(broker)
    }

    /// The client closes: what is in flight is lost, and the broker hears of it.
    pub(crate) fn close_from_client(&mut self, id: LinkId) {
        let latency = self.latency();
        if let Some(link) = self.net.links.get_mut(&id) {
            // The broker hears of it soon, dark or not: a commit that it still held could take the place of a newer one
            // on the next connection, which no client can prevent.
            link.state = LinkState::Cut;
            self.after(latency, Event::TellBroker(id));
        }
    }

    /// The client's process is gone: what it sent still arrives, and the broker hears of it some time later.
    pub(crate) fn abandon(&mut self, id: LinkId, wait: Duration) {
        if let Some(link) = self.net.links.get_mut(&id) {
            link.state = if link.state.reaches_broker() { LinkState::ClientGone } else { LinkState::Dark };
            let at = (self.time + wait).max(link.up + Duration::from_micros(1));
            self.schedule(at, Event::TellBroker(id));
        }
    }

    /// The broker closes: what it sent before arrives.
    pub(crate) fn close_from_broker(&mut self, id: LinkId) {
        let latency = self.latency();
        self.part(id);
        if let Some(link) = self.net.links.get_mut(&id)
            && link.state.reaches_client()
        {
            link.state = LinkState::BrokerGone;
            let at = (self.time + latency).max(link.down + Duration::from_micros(1));
            self.schedule(at, Event::TellClient(id, Disconnected::Closed));
        }
    }

    /// The connection breaks: what is in flight is lost, and both ends are told.
    pub(crate) fn cut(&mut self, id: LinkId) {
        let (first, second) = (self.latency(), self.latency());
        if let Some(link) = self.net.links.get_mut(&id)
            && link.state.stands()
        {
            link.state = LinkState::Cut;
            self.after(first, Event::TellClient(id, Disconnected::Failed("connection reset".to_owned())));
            self.after(second, Event::TellBroker(id));
        }
    }

    /// The connection swallows everything from here on, and nobody is told.
    pub(crate) fn darken(&mut self, id: LinkId) {
        self.silence(id, LinkState::Dark);
    }

    /// The same, or in one direction only.
    pub(crate) fn silence(&mut self, id: LinkId, how: LinkState) {
        if let Some(link) = self.net.links.get_mut(&id)
            && link.state == LinkState::Open
        {
            link.state = how;
        }
    }
}
