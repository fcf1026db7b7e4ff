//! `-v`, `-vv`: what the clients log, on stderr. Without colours: it is often read from a file.

use tracing_subscriber::filter::LevelFilter;

/// Logs from here on as much as `verbose` says.
pub(crate) fn install(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    // It fails where there is one already: nobody else in this process installs any.
    let subscriber = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
    // Another crate of the same build may switch them on.
    _ = subscriber.with_ansi(false).try_init();
}

/// Whether lines may come at any time.
pub(crate) fn is_on() -> bool {
    LevelFilter::current() > LevelFilter::OFF
}
