//! What targets have in common: which of them a process is, an allocator that counts, and the parts of an input.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    collections::BTreeSet,
    env,
    panic::{self, PanicHookInfo},
    process,
    sync::{Mutex, OnceLock, PoisonError},
};

use ottla_protocol::{ApiKey, Now, Timestamp};

/// What is done with an input.
pub type Target = fn(&[u8]);

/// The name of the target that a process is. Many of them are one program, as each would be linked for seconds.
const NAME: &str = "OTTLA_FUZZ_TARGET";

/// A program of these modules, each of which has a `run`.
#[macro_export]
macro_rules! targets {
    ($($name:ident),*) => {
        static TARGET: std::sync::OnceLock<$crate::Target> = std::sync::OnceLock::new();

        libfuzzer_sys::fuzz_target!(
            init: $crate::begin(&TARGET, &[$((stringify!($name), $name::run as $crate::Target)),*]),
            |data: &[u8]| { TARGET.get().expect("it is set as the process begins")(data) }
        );
    };
}

/// Finds the target, and has what panics end the process.
pub fn begin(target: &OnceLock<Target>, all: &[(&str, Target)]) {
    let name = env::var(NAME).unwrap_or_default();
    let Some((_, run)) = all.iter().find(|(known, _)| *known == name) else {
        let names: Vec<_> = all.iter().map(|(known, _)| *known).collect();
        eprintln!("{NAME} is `{name}`, and not one of {}", names.join(", "));
        process::exit(2);
    };
    let _ = target.set(*run);
    // That of libFuzzer's crate, which tells of it and ends the process.
    let end = panic::take_hook();
    let told = Mutex::new(BTreeSet::new());
    panic::set_hook(Box::new(move |info| match of_a_library(info) {
        // The client makes an error of it; where nobody does, the process ends all the same. Told once, as it may come with any input.
        Some(place) => {
            if told.lock().unwrap_or_else(PoisonError::into_inner).insert(place) {
                eprintln!("a library has {info}");
            }
        }
        None => end(info),
    }));
}

/// Where it is, unless the code is ours.
fn of_a_library(info: &PanicHookInfo<'_>) -> Option<String> {
    let at = info.location()?;
    at.file().contains("/registry/src/").then(|| at.to_string())
}

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// Counts the bytes that this thread has, and the most that it had.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(change: isize) {
    let live = LIVE.get() + change;
    LIVE.set(live);
    PEAK.set(PEAK.get().max(live));
}

// SAFETY: all is the system's, and counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Does this, which may hold no more than so many bytes at once, beyond those that were there.
pub fn within<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let before = LIVE.get();
    PEAK.set(before);
    let value = work();
    let peak = (PEAK.get() - before) as usize;
    assert!(peak <= bytes, "{peak} bytes were live, and {bytes} may be");
    value
}

/// A moment that is the same in each run, but for the clock that cannot be made.
pub fn now() -> Now {
    Now { mono: std::time::Instant::now(), wall: Timestamp(1_700_000_000_000) }
}

/// What is left of an input. Where it ends, there are zeros and nothing.
#[derive(Clone)]
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *byte
    }

    pub fn number(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// Some bytes, with their length before them.
    pub fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.number()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes
    }

    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()).ok()
    }

    /// An API, by its number, so that another one changes no corpus; and a version of it.
    pub fn api(&mut self) -> (ApiKey, i16) {
        let drawn = self.byte();
        let named = ApiKey::ALL.iter().find(|key| **key as i16 == i16::from(drawn));
        let key = *named.unwrap_or(&ApiKey::ALL[usize::from(drawn) % ApiKey::ALL.len()]);
        let versions = key.versions();
        let count = versions.max - versions.min + 1;
        (key, versions.min + i16::from(self.byte()) % count)
    }
}
