//! The driver's half of a client, be it the producer or a consumer: what arrives, and what is done then.

use ottla_core::{ConnId, Disconnected, Done, Machine, Outbound, Reply};
use ottla_protocol::Request;

use crate::{
    host::{Awaited, Frame, Host},
    stage::Stage,
    truth::Truth,
};

/// Something that a driver hears.
pub(crate) enum Arrival {
    /// A deadline's time has come, unless there is another by now.
    Alarm,
    Connected(ConnId),
    Disconnected(ConnId, Disconnected),
    Frame(ConnId, Vec<u8>),
    Done(ConnId, Done),
}

/// A machine with its driver and its users.
pub(crate) trait Client {
    type Machine: Machine<Frame = Frame>;

    fn host(&mut self) -> &mut Host<Self::Machine>;

    /// Does what the driver does until there is nothing left for it nor for a user who waits.
    fn turn(&mut self, stage: &mut Stage, truth: &mut Truth);

    /// An answer goes to the machine.
    fn hear(
        &mut self,
        conn: ConnId,
        awaited: Awaited,
        reply: Reply<Frame>,
        stage: &mut Stage,
        truth: &mut Truth,
    );

    /// What arrives goes to the machine, and the driver takes a turn.
    fn handle(&mut self, arrival: Arrival, stage: &mut Stage, truth: &mut Truth) {
        match arrival {
            Arrival::Frame(conn, frame) => {
                if let Some((awaited, reply)) = self.host().decode(conn, frame, stage) {
                    self.hear(conn, awaited, reply, stage, truth);
                }
            }
            other => {
                if !feed(self.host(), other, stage) {
                    return;
                }
            }
        }
        self.turn(stage, truth);
    }
}

/// What arrives goes to the machine. Returns whether anything did.
pub(crate) fn feed<M: Machine<Frame = Frame>>(
    host: &mut Host<M>,
    arrival: Arrival,
    stage: &mut Stage,
) -> bool {
    match arrival {
        Arrival::Alarm if !host.is_due(stage.time) => return false,
        Arrival::Alarm => {}
        Arrival::Connected(conn) => host.machine.handle_connected(conn, stage.now()),
        Arrival::Disconnected(conn, why) => host.disconnected(conn, why, stage),
        Arrival::Done(conn, done) => host.machine.handle_done(conn, done, stage.now()),
        Arrival::Frame(conn, frame) => {
            if let Some((_, reply)) = host.decode(conn, frame, stage) {
                host.machine.handle_reply(conn, reply, stage.now());
            }
        }
    }
    true
}

/// What a driver does in a turn. Returns whether it has woken the user.
pub(crate) fn spin<M: Machine<Frame = Frame>>(
    host: &mut Host<M>,
    stage: &mut Stage,
    look: impl Fn(&Outbound, &mut Stage),
) -> bool {
    let now = stage.now();
    host.begin(stage);
    while let Some(effect) = host.machine.poll_send(now) {
        look(&effect, stage);
        host.act(effect, stage);
    }
    // What was stirred by now has been carried out.
    _ = host.machine.take_stir();
    host.machine.take_wake()
}

/// The same of who commits in transactions.
pub(crate) fn spin_in_transactions<M: Machine<Frame = Frame>>(host: &mut Host<M>, stage: &mut Stage) -> bool {
    let who = host.who;
    spin(host, stage, |effect, stage| match effect {
        Outbound::Send { request: Request::OffsetCommit(_), .. } => {
            stage.violate("offsets are committed in transactions alone", || format!("{who} commits"));
        }
        Outbound::Send { request: Request::TxnOffsetCommit(asked), .. }
            if asked.generation_id_or_member_epoch < 0 || asked.member_id.is_empty() =>
        {
            stage.violate("offsets name the member that commits them", || format!("{who} names none"));
        }
        _ => {}
    })
}
