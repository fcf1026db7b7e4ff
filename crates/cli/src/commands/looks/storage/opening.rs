//! The file of a folder, and what is wrong with one that cannot be had.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use redb::{Builder, Database, Error, ReadableDatabase, TableError};

use super::{EVENTS, FORMAT, LOGS, META, PLACES, SPANS, TRENDS};
use crate::failure::Failure;

/// What of the file is held in memory at the most.
const CACHE: usize = 4 * 1024 * 1024;
/// How the values of the tables are written. Another number is another way.
const VERSION: u32 = 1;
/// How many damaged files are put aside at the most.
const ASIDE: u32 = 10;

pub(super) fn file(folder: &Path) -> PathBuf {
    folder.join("history.redb")
}

/// How large it is, in bytes.
pub(super) fn size(folder: &Path) -> Option<u64> {
    file(folder).metadata().ok().map(|file| file.len())
}

/// Opens it, or makes it. One that is damaged is put aside, as no look can be had from it, which is told.
pub(super) fn open(folder: &Path) -> Result<(Database, Option<String>), Failure> {
    fs::create_dir_all(folder)
        .map_err(|error| failed(folder, &format!("{error}; give a folder that can be written")))?;
    let file = file(folder);
    match ours(&file) {
        Ok(database) => Ok((database, None)),
        Err(error) if is_damaged(&error) => {
            let aside = aside(folder)?;
            fs::rename(&file, &aside).map_err(|why| failed(folder, &format!("{error}, and {why}")))?;
            let database = ours(&file).map_err(|error| failure(folder, &error))?;
            let note = format!(
                "--data-dir {}: what was kept is damaged ({error}); it is {} now, and the history begins anew",
                folder.display(),
                aside.display()
            );
            Ok((database, Some(note)))
        }
        Err(error) => Err(failure(folder, &error)),
    }
}

/// Where a damaged one goes: one that is there is somebody's to look at, or to remove.
fn aside(folder: &Path) -> Result<PathBuf, Failure> {
    let names = (0..ASIDE).map(|number| match number {
        0 => folder.join("history.redb.damaged"),
        number => folder.join(format!("history.redb.damaged.{number}")),
    });
    let mut free = names.filter(|name| fs::symlink_metadata(name).is_err());
    let full =
        || failed(folder, &format!("it is damaged, as {ASIDE} were before; remove history.redb.damaged*"));
    free.next().ok_or_else(full)
}

fn ours(file: &Path) -> Result<Database, Error> {
    // Else damage would be found where it is read, by whoever reads it.
    let database = Builder::new().set_cache_size(CACHE).set_check_integrity_on_open(true).create(file)?;
    let found = match database.begin_read()?.open_table(META) {
        Ok(meta) => meta.get(FORMAT)?.map(|version| version.value().to_vec()),
        Err(TableError::TableDoesNotExist(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let version = VERSION.to_le_bytes();
    match found {
        Some(found) if found == version => {}
        Some(_) => return Err(Error::UpgradeRequired(0)),
        None => {
            let transaction = database.begin_write()?;
            transaction.open_table(META)?.insert(FORMAT, version.as_slice())?;
            // So that whoever reads finds them.
            transaction.open_table(LOGS)?;
            transaction.open_table(PLACES)?;
            transaction.open_table(TRENDS)?;
            transaction.open_table(SPANS)?;
            transaction.open_table(EVENTS)?;
            transaction.commit()?;
        }
    }
    Ok(database)
}

fn is_damaged(error: &Error) -> bool {
    match error {
        Error::Corrupted(_) => true,
        Error::Io(error) => matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof),
        _ => false,
    }
}

/// What is to be done about an error.
pub(super) fn failure(folder: &Path, error: &Error) -> Failure {
    failed(
        folder,
        &match error {
            Error::DatabaseAlreadyOpen | Error::LockProtocolMismatch => {
                "another process has it open; end that one, or give each a folder of its own".to_owned()
            }
            Error::UpgradeRequired(_) | Error::TableTypeMismatch { .. } => {
                "it was written by another version of ottla; give another folder, or use that version"
                    .to_owned()
            }
            error => format!("{error}; see that the disk has room and the folder can be written"),
        },
    )
}

fn failed(folder: &Path, why: &str) -> Failure {
    Failure::failed(format!("--data-dir {}: {why}", folder.display()))
}
