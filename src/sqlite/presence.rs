//! Presence of a process among those that use a database file: a lock on a file of its own, which the operating system releases when the
//! process ends, however it ends. So another process, and the next one, know at once that it is gone (`R37`: nobody waits for the slowest).

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Ending of the file, before the name of the process.
const ENDING: &str = "-alive-";
/// Number of letters in a name.
const LETTERS: usize = 32;

/// Presence of this process. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Presence {
    name: String,
    path: PathBuf,
    /// Holds the lock.
    _file: File,
}

impl Presence {
    /// Announces this process under a new name, and removes the files of those that have died.
    pub(crate) fn announce(database: &Path) -> io::Result<Self> {
        remove_of_the_dead(database);
        loop {
            let name = hex::encode(rand::random::<[u8; LETTERS / 2]>());
            let path = file_of(database, &name);
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.lock()?;
            // Whoever cleans up may have locked the file first, and removed it.
            let is_there = std::fs::metadata(&path)
                .is_ok_and(|found| file.metadata().is_ok_and(|own| own.ino() == found.ino()));
            if is_there {
                return Ok(Self { name, path, _file: file });
            }
        }
    }

    /// Name of this process.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        // An error leaves the file, which the next process removes.
        drop(std::fs::remove_file(&self.path));
    }
}

/// True if the process with that name has ended. False if that cannot be told.
pub(crate) fn has_ended(database: &Path, name: &str) -> bool {
    is_name(name) && has_died(&file_of(database, name))
}

fn is_name(name: &str) -> bool {
    name.len() == LETTERS && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn has_died(path: &Path) -> bool {
    match File::open(path) {
        Ok(file) => match file.try_lock() {
            Ok(()) => {
                drop(std::fs::remove_file(path));
                true
            }
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
        },
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn file_of(database: &Path, name: &str) -> PathBuf {
    super::beside(database, &format!("{ENDING}{name}"))
}

fn remove_of_the_dead(database: &Path) {
    let Some(own) = database.file_name().and_then(|name| name.to_str()) else { return };
    let folder = database.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(files) = std::fs::read_dir(folder) else { return };
    for file in files.flatten() {
        let file_name = file.file_name();
        let name = file_name.to_str().and_then(|name| name.strip_prefix(own)?.strip_prefix(ENDING));
        if name.is_some_and(is_name) {
            has_died(&file.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_to_have_ended_however_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("casebridge.db");
        let files = || std::fs::read_dir(folder.path()).unwrap().count();
        let (one, other) = (Presence::announce(&database).unwrap(), Presence::announce(&database).unwrap());
        let name = one.name().to_owned();
        assert!(!has_ended(&database, &name) && !has_ended(&database, other.name()));
        assert_eq!(files(), 2);
        drop(one);
        assert!(has_ended(&database, &name) && !has_ended(&database, other.name()));

        // Killed: the lock is released, and the file stays.
        let killed = file_of(&database, &name);
        drop(File::create(&killed).unwrap());
        assert!(has_ended(&database, &name));
        drop(File::create(&killed).unwrap());
        let third = Presence::announce(&database).unwrap();
        assert_eq!(files(), 2, "its file is removed, those of the living stay");
        drop((other, third));
        assert_eq!(files(), 0);
        for nobody in ["", "../../etc/passwd", "holder of version 0.1"] {
            assert!(!has_ended(&database, nobody), "{nobody:?}");
        }
    }
}
