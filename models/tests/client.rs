//! `Shared` and the frame pool of the client, as they ship and with a bug planted in each copy (`build.rs`), with loom's primitives.
//!
//! Each model is run with the files as they ship, and with each bug that it is there for: with one of those it must fail.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic is how a model fails; clippy does not see tests without #[test]"
)]

use std::{
    cell::Cell,
    panic::{self, AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use libtest_mimic::{Arguments, Failed, Trial};
use loom::thread;
use ottla_core::{
    Address, ConnId, Disconnected, HoldsBytes as _, Machine, Outbound, RefusedConnection, Reply, SetupStage,
};
use ottla_protocol::Now;

#[path = "../src/primitives.rs"]
mod sync;

use sync::block_on;

/// A machine that counts what it was fed.
#[derive(Debug, Default)]
struct Counter {
    fed: usize,
    wakes: bool,
    stirs: bool,
}

impl Machine for Counter {
    type Frame = ();
    fn handle_connected(&mut self, _: ConnId, _: Now) {}
    fn handle_disconnected(&mut self, _: ConnId, _: Disconnected, _: Now) {}
    fn handle_reply(&mut self, _: ConnId, _: Reply<()>, _: Now) {}
    fn handle_done(&mut self, _: ConnId, _: ottla_core::Done, _: Now) {}
    fn handle_timeout(&mut self, _: Now) {}
    fn poll_send(&mut self, _: Now) -> Option<Outbound> {
        None
    }
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    fn take_wake(&mut self) -> bool {
        std::mem::take(&mut self.wakes)
    }
    fn take_stir(&mut self) -> bool {
        std::mem::take(&mut self.stirs)
    }
    fn refusal(&self, _: Now) -> Option<RefusedConnection> {
        None
    }
    fn first_contact(&self, _: Now) -> Option<(Address, SetupStage)> {
        None
    }
    fn is_closed(&self) -> bool {
        false
    }
}

/// One copy of the client's files, and the models of it.
macro_rules! copy {
    ($name:ident) => {
        #[allow(dead_code, reason = "no model needs all of the client's files")]
        mod $name {
            use super::*;

            mod shared {
                include!(concat!(env!("OUT_DIR"), "/", stringify!($name), "/shared.rs"));
            }
            mod net {
                pub(crate) mod clock {
                    include!(concat!(env!("OUT_DIR"), "/", stringify!($name), "/net/clock.rs"));
                }
                pub(crate) mod frame_pool {
                    include!(concat!(env!("OUT_DIR"), "/", stringify!($name), "/net/frame_pool.rs"));
                }
            }

            use net::frame_pool::FramePool;
            use shared::{Ended, Shared};

            fn shared() -> Arc<Shared<Counter>> {
                let nobody = tracing::Span::none;
                Arc::new(Shared::new(Counter::default(), 1 << 20, nobody(), nobody()))
            }

            fn feed(shared: &Shared<Counter>) {
                shared.feed(|machine, _| (machine.fed, machine.wakes) = (machine.fed + 1, true));
            }

            fn wait(shared: &Shared<Counter>) -> Result<usize, Ended> {
                block_on(shared.wait(|machine, _| (machine.fed > 0).then_some(machine.fed)))
            }

            /// The driver turns whenever it is woken, until `is_done` says so of what it has found.
            fn drive(shared: &Shared<Counter>, mut is_done: impl FnMut(&mut Counter, usize) -> bool) {
                loop {
                    block_on(shared.stirred());
                    if shared.turn(|machine, released, _| is_done(machine, released)) {
                        return;
                    }
                }
            }

            pub(super) fn who_waits_is_woken_by_what_comes() {
                let shared = shared();
                let user = thread::spawn({
                    let shared = shared.clone();
                    move || assert_eq!(wait(&shared), Ok(1))
                });
                feed(&shared);
                user.join().unwrap();
            }

            pub(super) fn what_came_before_the_end_is_told_and_nobody_waits_behind_it() {
                let shared = shared();
                let user = thread::spawn({
                    let shared = shared.clone();
                    move || {
                        assert_eq!(wait(&shared), Ok(1));
                        assert_eq!(block_on(shared.wait(|_, _| None::<()>)), Err(Ended));
                    }
                });
                feed(&shared);
                shared.end();
                user.join().unwrap();
            }

            pub(super) fn the_driver_carries_out_what_it_is_fed() {
                let shared = shared();
                let driver = thread::spawn({
                    let shared = shared.clone();
                    move || drive(&shared, |machine, _| machine.fed == 1)
                });
                feed(&shared);
                driver.join().unwrap();
            }

            pub(super) fn the_driver_carries_out_what_users_ask_for() {
                let shared = shared();
                let driver = thread::spawn({
                    let shared = shared.clone();
                    move || drive(&shared, |machine, _| machine.fed == 1)
                });
                shared.with(|machine, _| (machine.fed, machine.stirs) = (1, true));
                driver.join().unwrap();
            }

            fn frame(pool: &FramePool, bytes: &[u8]) -> net::frame_pool::Frame {
                let mut buffer = pool.buffer(bytes.len());
                block_on(buffer.read_from(&mut &*bytes, bytes.len())).unwrap();
                buffer.into_frame()
            }

            pub(super) fn the_driver_hears_of_each_byte_that_is_free_again() {
                let shared = shared();
                let frames = [[1; 10], [2; 10]].map(|bytes| frame(shared.frames(), &bytes));
                let users = frames.map(|frame| thread::spawn(move || drop(frame)));
                let mut free = 0;
                drive(&shared, |_, released| {
                    free += released;
                    free == 20
                });
                users.into_iter().for_each(|user| user.join().unwrap());
            }

            pub(super) fn no_two_have_one_buffer() {
                let shared = shared();
                drop(frame(shared.frames(), &vec![0; KEPT]));
                let users = [1, 2].map(|byte| {
                    let frames = shared.frames().clone();
                    thread::spawn(move || {
                        let frame = frame(&frames, &vec![byte; KEPT]);
                        assert!(frame.bytes() == vec![byte; KEPT]);
                    })
                });
                users.into_iter().for_each(|user| user.join().unwrap());
            }
        }
    };
}

/// The length of a buffer that a pool keeps.
const KEPT: usize = 16 << 10;

copy!(as_it_ships);
copy!(listens_behind_the_look);
copy!(asks_for_the_end_behind_the_look);
copy!(wakes_before_the_end_is_there);
copy!(wakes_the_driver_before_the_change);
copy!(wakes_nobody_behind_a_stir);
copy!(wakes_before_the_bytes_are_counted);
copy!(takes_what_was_released_in_two_steps);
copy!(lends_a_buffer_without_taking_it);

/// A model of the files as they ship, and the same of copies with a bug, of which each must fail.
macro_rules! model {
    ($model:ident: $($bug:ident),+) => {
        Trial::test(stringify!($model), || {
            loom::model(as_it_ships::$model);
            $(
                if !fails($bug::$model) {
                    return Err(Failed::from(concat!("nothing fails where a copy ", stringify!($bug))));
                }
            )+
            Ok(())
        })
    };
}

thread_local! {
    /// Whether what runs here is to fail.
    static IS_PLANTED: Cell<bool> = const { Cell::new(false) };
}

fn fails(model: fn()) -> bool {
    IS_PLANTED.set(true);
    let ran = catch_unwind(AssertUnwindSafe(|| loom::model(model)));
    IS_PLANTED.set(false);
    ran.is_err()
}

fn main() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !IS_PLANTED.get() {
            tell(panic);
        }
    }));
    let models = vec![
        model!(who_waits_is_woken_by_what_comes: listens_behind_the_look),
        model!(
            what_came_before_the_end_is_told_and_nobody_waits_behind_it:
                asks_for_the_end_behind_the_look, wakes_before_the_end_is_there
        ),
        model!(the_driver_carries_out_what_it_is_fed: wakes_the_driver_before_the_change),
        model!(the_driver_carries_out_what_users_ask_for: wakes_nobody_behind_a_stir),
        model!(
            the_driver_hears_of_each_byte_that_is_free_again:
                wakes_before_the_bytes_are_counted, takes_what_was_released_in_two_steps
        ),
        model!(no_two_have_one_buffer: lends_a_buffer_without_taking_it),
    ];
    libtest_mimic::run(&Arguments::from_args(), models).exit();
}
