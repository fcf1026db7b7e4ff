//! The driver's half of a client, be it the producer or a consumer: what arrives, and what is done then.

use ottla_core::{ConnId, Disconnected, Done, Machine, Reply};

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
            Arrival::Alarm if !self.host().is_due(stage.time) => return,
            Arrival::Alarm => {}
            Arrival::Connected(conn) => self.host().machine.handle_connected(conn, stage.now()),
            Arrival::Disconnected(conn, why) => self.host().disconnected(conn, why, stage),
            Arrival::Done(conn, done) => self.host().machine.handle_done(conn, done, stage.now()),
            Arrival::Frame(conn, frame) => {
                if let Some((awaited, reply)) = self.host().decode(conn, frame, stage) {
                    self.hear(conn, awaited, reply, stage, truth);
                }
            }
        }
        self.turn(stage, truth);
    }
}
