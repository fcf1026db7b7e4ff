//! Has core's sources take loom's atomics, and copies the files of the client in which threads meet: as they are, and with one bug
//! planted in each copy. So no bug stands in what ships, and a bug whose place has changed fails the build.

use std::{env, error::Error, fs, path::Path};

/// A copy of the client's files, and what is exchanged in one of them.
struct Variant {
    name: &'static str,
    file: &'static str,
    honest: &'static str,
    planted: &'static str,
}

const FILES: &[&str] = &["shared.rs", "net/clock.rs", "net/frame_pool.rs"];

const VARIANTS: &[Variant] = &[
    Variant { name: "as_it_ships", file: "", honest: "", planted: "" },
    Variant {
        name: "listens_behind_the_look",
        file: "shared.rs",
        honest: "                return Err(Ended);
            }
            notified.as_mut().await;",
        planted: "                return Err(Ended);
            }
            notified.set(self.data.notified());
            notified.as_mut().await;",
    },
    Variant {
        name: "asks_for_the_end_behind_the_look",
        file: "shared.rs",
        honest: "            let ended = self.is_ended();
            if let Some(value) = self.with(&mut ready) {
                return Ok(value);
            }
            if ended {",
        planted: "            if let Some(value) = self.with(&mut ready) {
                return Ok(value);
            }
            if self.is_ended() {",
    },
    Variant {
        name: "wakes_before_the_end_is_there",
        file: "shared.rs",
        honest: "        self.ended.store(true, Ordering::Release);
        let mut timed = self.lock();
        timed.machine.handle_driver_gone();
        let wakers = timed.machine.take_wakers();
        drop(timed);
        self.wake_all(wakers);",
        planted: "        let mut timed = self.lock();
        timed.machine.handle_driver_gone();
        let wakers = timed.machine.take_wakers();
        drop(timed);
        self.wake_all(wakers);
        self.ended.store(true, Ordering::Release);",
    },
    Variant {
        name: "wakes_the_driver_before_the_change",
        file: "shared.rs",
        honest: "        self.change(change);
        self.driver.notify_one();",
        planted: "        self.driver.notify_one();
        self.change(change);",
    },
    Variant {
        name: "wakes_nobody_behind_a_stir",
        file: "shared.rs",
        honest: "        driver.due = stir;",
        planted: "        _ = stir;
        driver.due = false;",
    },
    Variant {
        name: "wakes_before_the_bytes_are_counted",
        file: "net/frame_pool.rs",
        honest: "        pool.released.fetch_add(self.bytes().len(), Ordering::Relaxed);
        pool.driver.notify_one();",
        planted: "        pool.driver.notify_one();
        pool.released.fetch_add(self.bytes().len(), Ordering::Relaxed);",
    },
    Variant {
        name: "takes_what_was_released_in_two_steps",
        file: "net/frame_pool.rs",
        honest: "        self.0.released.swap(0, Ordering::Relaxed)",
        planted: "        let released = self.0.released.load(Ordering::Relaxed);
        self.0.released.store(0, Ordering::Relaxed);
        released",
    },
    Variant {
        name: "lends_a_buffer_without_taking_it",
        file: "net/frame_pool.rs",
        honest: "        let mut buffers = self.0.lock();
        let fitting = buffers.free.partition_point(|free| free.bytes.capacity() <= most);
        let bytes = match fitting.checked_sub(1) {
            Some(largest) => buffers.free.remove(largest).bytes,",
        planted: "        let buffers = self.0.lock();
        let fitting = buffers.free.partition_point(|free| free.bytes.capacity() <= most);
        drop(buffers);
        let mut buffers = self.0.lock();
        let bytes = match fitting.checked_sub(1) {
            Some(largest) => buffers.free.remove(largest).bytes,",
    },
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rustc-cfg=ottla_loom");
    let out = env::var("OUT_DIR")?;
    for Variant { name, file, honest, planted } in VARIANTS {
        for path in FILES {
            let from = format!("../crates/client/src/{path}");
            println!("cargo::rerun-if-changed={from}");
            let mut text = fs::read_to_string(&from)?;
            if path == file {
                assert_eq!(text.matches(honest).count(), 1, "{name}: its place in {path} has changed");
                text = text.replace(honest, planted);
            }
            // Each copy is a module, and finds the others of its own; what is included has no documentation of its own.
            let text = text.replace("net::{clock", &format!("{name}::net::{{clock")).replace("//!", "//");
            // A target without a harness is a test all the same.
            let text = text.replace("#[cfg(test)]", "#[cfg(any())]");
            let to = Path::new(&out).join(name).join(path);
            fs::create_dir_all(to.with_file_name(""))?;
            fs::write(to, text)?;
        }
    }
    Ok(())
}
