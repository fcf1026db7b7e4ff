//! A user who waits in a call.

use ottla_core::ReaderId;

use super::Core;
use crate::shared::Shared;

/// Undoes the core's belief that the user waits in a call, when the call is given up.
pub(super) struct Parking<'a> {
    shared: &'a Shared<Core>,
    reader: ReaderId,
}

impl<'a> Parking<'a> {
    /// The user is about to wait in a call that looks at the core, which knows by that.
    pub(super) fn new(shared: &'a Shared<Core>, reader: ReaderId) -> Self {
        Self { shared, reader }
    }

    /// The user waits in a call, however long it takes.
    pub(super) fn begin(shared: &'a Shared<Core>, reader: ReaderId) -> Self {
        shared.with(|core, _| core.stay(reader));
        Self { shared, reader }
    }

    /// The call ends with a look at the core, which knows by that.
    pub(super) fn leave(self) {
        std::mem::forget(self);
    }
}

impl Drop for Parking<'_> {
    fn drop(&mut self) {
        self.shared.with(|core, now| core.unpark(self.reader, now));
    }
}
