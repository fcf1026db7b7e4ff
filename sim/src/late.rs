//! What was said in a generation or an epoch that is over, and arrives late: on a connection that its sender has given up.

use ottla_broker::{GroupKind, VersionSet};
use ottla_protocol::{ApiKey, Response, ResponseHeader};

use crate::{
    between::Between as _,
    ghosts::{Beat, Late},
    role::GROUP,
    world::World,
};

impl World {
    /// A commit of an earlier generation arrives, and must change nothing.
    pub(super) fn send_late(&mut self) {
        let coordinator = self.cluster.coordinator(GROUP);
        let Some(group) = self.cluster.group(GROUP).filter(|_| self.cluster.is_up(coordinator)) else {
            return;
        };
        let relaxed = self.plan.broker.versions == VersionSet::Kafka4_3;
        let late = self.ghosts.commits(&group, relaxed, &self.truth);
        if late.is_empty() {
            return;
        }
        let Late { generation_id, frame, .. } = self.dice.pick(&late).clone();
        self.stage.tell(|| format!("a commit of generation {generation_id} arrives late"));
        let before = self.cluster.committed(GROUP);
        let broker = self.cluster.handle_connect(coordinator, self.stage.now());
        self.cluster.handle_frame(broker, frame, self.stage.now());
        self.pump();
        self.cluster.handle_disconnect(broker, self.stage.now());
        if self.cluster.committed(GROUP) != before {
            self.stage.violate("a commit of an earlier generation is refused", || {
                format!("one of {generation_id} is taken in {}", group.generation_id)
            });
        }
    }

    /// A heartbeat of a member epoch that is over arrives, and is refused.
    pub(super) fn beat_late(&mut self) {
        let coordinator = self.cluster.coordinator(GROUP);
        let Some(group) = self.cluster.group(GROUP).filter(|_| self.cluster.is_up(coordinator)) else {
            return;
        };
        let late = self.ghosts.beats(&group, &self.truth);
        if group.kind == GroupKind::Classic || late.is_empty() {
            return;
        }
        let Beat { epoch, frame, version, .. } = self.dice.pick(&late).clone();
        self.stage.tell(|| format!("a heartbeat of epoch {epoch} arrives late"));
        self.stray.clear();
        let broker = self.cluster.handle_connect(coordinator, self.stage.now());
        self.cluster.handle_frame(broker, frame, self.stage.now());
        self.pump();
        self.cluster.handle_disconnect(broker, self.stage.now());
        let answer = self.stray.pop();
        let answer = answer.map(|f| ResponseHeader::decode(ApiKey::ConsumerGroupHeartbeat, version, &f));
        if let Some(Ok((_, Response::ConsumerGroupHeartbeat(answer)))) = answer
            && answer.error_code.is_ok()
        {
            self.stage.violate("a heartbeat of an epoch that is over is refused", || {
                format!("one of {epoch} is taken in {}", group.generation_id)
            });
        }
    }
}
