//! What threads of a client meet by. `models/` compiles the files that take it from here with loom's in its place.

pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

pub(crate) use tokio::sync::Notify;
