//! What a consumer tells of itself in numbers, held against what its user knows.

use crate::{dice::ms, member::Member, stage::Stage};

impl Member {
    /// How long the user was away at the most: no longer than he was, as he may come back unseen and never leaves unseen.
    pub(super) fn check_longest_absence(&mut self, stage: &mut Stage) {
        let absence = self.user.note_absence(stage.time);
        let told = self.host.machine.stats(stage.now()).polls.longest;
        // What a listener takes counts, and so do other readers' users.
        let knows = self.helpers.is_empty() && self.user.habits.listener.is_none();
        let was = self.user.most_away.max(absence);
        if knows && told > was + ms(10) {
            let who = self.who;
            stage.violate("nobody is told to have been away for longer than he was", || {
                format!("{who} was away for {was:?}, and {told:?} are told")
            });
        }
    }
}
