//! A Unix socket at which a consumer says what it waits for, to whoever may open it.
//!
//! Bound when the consumer is built, so that a path that is taken is an error there; served by a task of the driver's, one connection
//! after the other. Its name is gone with the consumer, so that another can have it while this one's driver still leaves its group.
//! What it writes is in `docs/health.md`.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::{
        fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
        net,
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt as _,
    net::{UnixListener, UnixStream},
    time::{sleep, timeout},
};

use super::Core;
use crate::shared::Shared;

/// How long somebody may take to read it, while others wait.
const PATIENCE: Duration = Duration::from_secs(1);
/// The most that is written: a consumer of thousands of partitions has a line for each.
const MOST: usize = 256 << 10;

/// How long the user may be away before that is told: between two calls he always is.
const AWAY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct ExplainSocket(net::UnixListener);

/// A socket's name, removed when dropped if it is still this one's.
#[derive(Debug)]
pub(crate) struct Name {
    path: PathBuf,
    /// Device and number: what is there later under its name may be another's.
    id: (u64, u64),
}

impl Drop for Name {
    fn drop(&mut self) {
        remove(&self.path, self.id);
    }
}

fn remove(path: &Path, if_it_is: (u64, u64)) {
    if id(path).is_ok_and(|id| id == if_it_is) {
        _ = fs::remove_file(path);
    }
}

fn id(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|told| (told.dev(), told.ino()))
}

impl ExplainSocket {
    /// Whoever runs as this user may connect, and nobody else, ever: the file is made in a folder of its own that nobody else may
    /// enter, and has its permissions before it has its name.
    pub(crate) fn bind(path: &Path) -> io::Result<(Self, Name)> {
        free(path)?;
        // A socket's path may be little longer than a hundred bytes.
        let hidden = path.with_file_name(format!(".{:04x}", fastrand::u16(..)));
        fs::DirBuilder::new().mode(0o700).create(&hidden)?;
        let made = (|| {
            let socket = hidden.join("s");
            let listener = net::UnixListener::bind(&socket)?;
            fs::set_permissions(&socket, fs::Permissions::from_mode(0o600))?;
            listener.set_nonblocking(true)?;
            let name = Name { path: path.to_owned(), id: id(&socket)? };
            // Unlike a renaming, it fails where another has come first.
            fs::hard_link(&socket, path)?;
            Ok((Self(listener), name))
        })();
        _ = fs::remove_dir_all(&hidden);
        made
    }

    /// Until it is dropped.
    pub(crate) async fn serve(self, shared: Arc<Shared<Core>>) {
        let Ok(listener) = UnixListener::from_std(self.0) else { return };
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let text = text(&shared);
                    // One who does not read is left, and nobody cares that he is.
                    _ = timeout(PATIENCE, write(stream, &text)).await;
                }
                // No file to be had, as it were: those who wait are served later.
                Err(_) => sleep(PATIENCE).await,
            }
        }
    }
}

/// Makes room where a process has left its socket behind; what else is there stays.
fn free(path: &Path) -> io::Result<()> {
    let taken = |what: &str| Err(io::Error::new(ErrorKind::AddrInUse, what));
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(there) if !there.file_type().is_socket() => taken("there is a file that is no socket"),
        Ok(there) => match net::UnixStream::connect(path) {
            // Unless somebody else has put his own there meanwhile.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                remove(path, (there.dev(), there.ino()));
                Ok(())
            }
            Err(error) => Err(error),
            Ok(_) => taken("another consumer listens there"),
        },
    }
}

async fn write(mut stream: UnixStream, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

/// Who it is, a line each, and behind an empty line what it waits for.
fn text(shared: &Shared<Core>) -> String {
    let (group, explanation, polls) =
        shared.with(|core, now| (core.group_metadata(), core.explain(now), core.polls(now)));
    let (group, member) = group.map(|it| (it.group_id, it.member_id)).unwrap_or_default();
    let away = match (polls.away.filter(|away| *away >= AWAY), polls.limit) {
        (Some(away), Some(limit)) => format!("program: has not come back for {away:.1?}, of {limit:?}\n"),
        (Some(away), None) => format!("program: has not come back for {away:.1?}\n"),
        (None, _) => String::new(),
    };
    let mut text = format!(
        "ottla-explain 1\nprocess {}\ngroup {}\nmember {}\n\n{away}{explanation}",
        std::process::id(),
        group.escape_debug(),
        member.escape_debug(),
    );
    if text.len() > MOST {
        text.truncate(text.floor_char_boundary(MOST));
    }
    text
}
