//! How a process comes to its end: stopped, or by a crash.

use ottla_core::{CloseKind, LeaveGroup, Machine as _};

use super::{
    judge::Judge,
    worker::{Doing, GRACE, Listening, Worker},
};
use crate::{dice::secs, stage::Stage};

impl Worker {
    /// Stops, as a program's `run_until` does.
    pub(super) fn stop(&mut self, stage: &mut Stage, judge: &mut Judge) {
        if self.doing == Doing::Pumping {
            self.begin_to_close(stage, judge);
            self.turn(stage, judge);
        }
    }

    pub(super) fn begin_to_close(&mut self, stage: &mut Stage, judge: &mut Judge) {
        let (life, now) = (self.life, stage.now());
        stage.tell(|| format!("w{life} stops"));
        judge.stops(life);
        self.machine.stop();
        self.settle(stage, judge);
        // Nobody waits for the last commit any more.
        if let Some(Ok(op)) = self.commit.take() {
            self.host.machine.forget_op(op);
        }
        self.reader.sync(&mut self.host.machine, true, now);
        let limit = self.rules.drain + GRACE + secs(30);
        self.host.machine.close(CloseKind::Closed, LeaveGroup::Default, now.mono + limit, now);
        self.doing = Doing::Closing;
    }

    /// The consumer closes. Returns whether there was anything to do.
    pub(super) fn close(&mut self, stage: &mut Stage, judge: &mut Judge) -> bool {
        if self.host.machine.is_closed() {
            let life = self.life;
            stage.tell(|| format!("w{life} is closed"));
            self.reader.close(&mut self.host.machine, stage.now());
            self.is_over(stage, judge);
            return true;
        }
        // Handlers have no more time than before while the last commit is awaited, and the listener not called yet.
        self.machine.handle_timeout(stage.now());
        self.settle(stage, judge);
        if matches!(self.listening, Listening::Not)
            && let Some(callback) = self.host.machine.take_callback()
        {
            self.tell(callback, stage, judge);
            return true;
        }
        false
    }

    /// The process is gone: nobody closes anything.
    pub(super) fn crash(&mut self, stage: &mut Stage, judge: &mut Judge) {
        let life = self.life;
        stage.tell(|| format!("w{life} crashes"));
        self.host.crash(stage);
        self.is_over(stage, judge);
    }

    fn is_over(&mut self, stage: &mut Stage, judge: &mut Judge) {
        if let Some(keeper) = &mut self.keeper {
            keeper.host.crash(stage);
        }
        self.doing = Doing::Gone;
        self.running.clear();
        judge.gone(self.life);
    }
}
