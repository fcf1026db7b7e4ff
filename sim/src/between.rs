//! Between clients and brokers: what the network brings, to whom it goes. Alike in every world.

use ottla_broker::{Cluster, Config, ConnId};
use ottla_core::Disconnected;

use crate::{
    case::{Bug, Case},
    client::Arrival,
    stage::{Link, LinkId, LinkState, Stage, Who},
};

/// A cluster with the addresses of its nodes, and with what the case plants in it.
pub(crate) fn cluster(config: &Config, case: &Case) -> Cluster {
    let mut cluster = Cluster::new(config.clone());
    for node in 1..=config.brokers as i32 {
        cluster.set_address(node, format!("broker-{node}"), 9092);
    }
    if let Some(Bug::Broker(bug)) = case.planted {
        cluster.plant(bug);
    }
    cluster
}

pub(crate) trait Between {
    fn sides(&mut self) -> (&mut Stage, &mut Cluster);

    /// Something arrives at a client.
    fn arrives(&mut self, who: Who, arrival: Arrival);

    /// Carries out what the cluster wants done.
    fn pump(&mut self);

    fn connect(&mut self, id: LinkId) {
        let (stage, cluster) = self.sides();
        let Some(link) = stage.link(id).filter(|link| link.state == LinkState::Open) else { return };
        let (node, who, conn) = (link.node, link.who, link.conn);
        if !cluster.is_up(node) {
            return self.refuse(id);
        }
        let broker = cluster.handle_connect(node, stage.now());
        stage.accept(id, broker);
        self.arrives(who, Arrival::Connected(conn));
        self.pump();
    }

    fn refuse(&mut self, id: LinkId) {
        self.tell_client(id, Disconnected::Refused("nobody listens".to_owned()));
    }

    /// The broker's end, where what a client says still reaches it.
    fn heard_by(&mut self, id: LinkId) -> Option<ConnId> {
        let passes = |link: &&mut Link| link.state.reaches_broker();
        self.sides().0.link(id).filter(passes).and_then(|link| link.broker)
    }

    fn down(&mut self, id: LinkId, frame: Vec<u8>) {
        let passes = |link: &&mut Link| link.state.reaches_client();
        let Some(link) = self.sides().0.link(id).filter(passes) else { return };
        let (who, conn) = (link.who, link.conn);
        self.arrives(who, Arrival::Frame(conn, frame));
    }

    fn tell_client(&mut self, id: LinkId, why: Disconnected) {
        let Some(link) = self.sides().0.link(id) else { return };
        let (who, conn) = (link.who, link.conn);
        self.arrives(who, Arrival::Disconnected(conn, why));
    }

    fn tell_broker(&mut self, id: LinkId) {
        let (stage, cluster) = self.sides();
        if let Some(broker) = stage.part(id) {
            cluster.handle_disconnect(broker, stage.now());
            self.pump();
        }
    }
}
