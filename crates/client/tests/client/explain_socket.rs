//! A consumer that says at a socket what it waits for.

use std::{
    fs,
    io::{ErrorKind, Read as _},
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use ottla::{Consumer, error::BuildErrorKind};
use ottla_broker::{Config, Server, TopicSpec};

use crate::{
    common::{PATIENCE, produce, server},
    processing::consumer,
};

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("ottla-explain-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("sock")
    }

    fn files(&self) -> usize {
        fs::read_dir(&self.0).unwrap().count()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

async fn read(path: &Path) -> String {
    let path = path.to_owned();
    let read = move || {
        let mut stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

#[tokio::test]
async fn who_connects_is_told_who_it_is_and_what_it_waits_for_until_it_is_closed() {
    let (server, folder) = (server(2), Folder::new());
    produce(&server, 0, 0..10).await;
    let socket = folder.socket();
    let mut consumer = consumer(&server).explain_socket(&socket).build().await.unwrap();
    let permissions = fs::metadata(&socket).unwrap().permissions();
    assert_eq!((permissions.mode() & 0o777, folder.files()), (0o600, 1));
    tokio::time::timeout(PATIENCE, consumer.recv()).await.unwrap().unwrap().unwrap();
    let member = consumer.group_metadata().unwrap().member_id;
    let head = format!("ottla-explain 1\nprocess {}\ngroup g\nmember {member}\n\n", std::process::id());
    let told = read(&socket).await;
    let body = told.strip_prefix(&head).unwrap_or_else(|| panic!("{told}"));
    assert!(body.contains("t-0: ") && body.contains("t-1: "), "{told}");
    // It holds a record, and does nothing with it.
    let deadline = Instant::now() + PATIENCE;
    while !read(&socket).await.contains("\n\nprogram: has not come back for ") {
        assert!(Instant::now() < deadline, "{}", read(&socket).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    consumer.close().await.unwrap();
    assert_eq!(folder.files(), 0);
}

#[tokio::test]
async fn a_dropped_consumers_place_is_free_for_the_next_at_once() {
    let (server, folder) = (server(1), Folder::new());
    let build = || consumer(&server).explain_socket(folder.socket()).build();
    drop(build().await.unwrap());
    assert_eq!(folder.files(), 0);
    build().await.unwrap().close().await.unwrap();
    assert_eq!(folder.files(), 0);
}

#[tokio::test]
async fn a_socket_of_a_dead_process_is_replaced_and_what_is_anybody_elses_stays() {
    let (server, folder) = (server(1), Folder::new());
    let (socket, build) = (folder.socket(), || consumer(&server).explain_socket(folder.socket()).build());
    // Its file outlives it.
    drop(UnixListener::bind(&socket).unwrap());
    let first = build().await.unwrap();
    assert!(read(&socket).await.contains("\ngroup g\n"));

    let error = build().await.unwrap_err();
    assert_eq!(error.kind(), BuildErrorKind::InvalidValue);
    let told = error.to_string();
    assert!(told.contains("another consumer listens there") && told.contains("explain_socket"), "{told}");
    assert!(read(&socket).await.contains("\ngroup g\n"), "the first is as it was");
    // One that somebody has put in its place is not its own to remove.
    fs::remove_file(&socket).unwrap();
    fs::write(&socket, "notes").unwrap();
    first.close().await.unwrap();
    assert_eq!(fs::read_to_string(&socket).unwrap(), "notes");

    let told = build().await.unwrap_err().to_string();
    assert!(told.contains("no socket"), "{told}");
    assert_eq!((fs::read_to_string(&socket).unwrap().as_str(), folder.files()), ("notes", 1));
    let nowhere = consumer(&server).explain_socket(folder.0.join("no").join("folder"));
    assert_eq!(nowhere.build().await.unwrap_err().kind(), BuildErrorKind::InvalidValue);
}

#[tokio::test]
async fn who_does_not_read_keeps_others_for_a_second_and_what_is_written_is_bounded() {
    // More than a socket holds.
    let (name, partitions) = ("t".repeat(240), 2_000);
    let topics = vec![TopicSpec::new(&name, partitions)];
    let config = Config { topics, ..Config::default() };
    let (server, folder) = (Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap(), Folder::new());
    let builder = Consumer::builder().bootstrap_servers([server.bootstrap()]);
    let mut consumer = builder.explain_socket(folder.socket()).build().await.unwrap();
    consumer.assign((0..2_000).map(|partition| (name.as_str(), partition))).unwrap();
    let begun = Instant::now();
    let mut silent = UnixStream::connect(folder.socket()).unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = read(&folder.socket()).await;
    assert!(begun.elapsed() >= Duration::from_millis(900), "the first is waited for: {:?}", begun.elapsed());
    assert_eq!(told.len(), 256 << 10);
    // It was hung up on.
    let mut rest = Vec::new();
    let read = silent.read_to_end(&mut rest).map_err(|error| error.kind());
    assert!(rest.len() < told.len() || read == Err(ErrorKind::ConnectionReset), "{read:?}");
    let closed = tokio::time::timeout(PATIENCE, consumer.close()).await;
    closed.unwrap().unwrap();
    assert_eq!(folder.files(), 0);
}
