//! Code that may panic where that must end nothing else: what users hand in, and what the simulation runs.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// What `call` returns, or what its panic says.
///
/// What the call has changed when it panics stays so: whoever looks at that afterwards has to be ready for it.
pub fn caught<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| panic.downcast_ref().cloned()).unwrap_or_else(|| "without words".into())
    })
}
