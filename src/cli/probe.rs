//! Database files in place of those that are not there yet, for commands that leave nothing behind.

use std::path::{Path, PathBuf};

use casebridge::config::{Config, QueueConfig};
use casebridge::store::StoreUrl;

/// Database file that is used in place of one that is not there yet, in the same folder; deleted on drop.
pub(super) struct Probe(PathBuf);

impl Probe {
    /// Returns the file to use; `None` if `path` is there.
    pub(super) fn beside(path: &Path) -> Option<Self> {
        let name = format!(".casebridge-check-{}.db", hex::encode(rand::random::<[u8; 8]>()));
        (!path.exists()).then(|| Self(path.with_file_name(name)))
    }

    /// Returns the file's path.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Returns the file's address as a store.
    pub(super) fn url(&self) -> String {
        format!("sqlite:{}", self.0.display())
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        for end in ["", "-wal", "-shm", "-journal"] {
            let mut file = self.0.clone().into_os_string();
            file.push(end);
            let _ = std::fs::remove_file(file);
        }
    }
}

/// Returns the configuration for a dry run, and the files that it uses in place of those that are not there yet. They have to live longer than
/// what is built of it.
pub(super) fn without_traces(config: &Config) -> (Config, Vec<Probe>) {
    let mut config = config.clone();
    let mut probes = Vec::new();
    if let Ok(StoreUrl::Sqlite(path)) = config.store.url.parse()
        && let Some(probe) = Probe::beside(&path)
    {
        config.store.url = probe.url();
        probes.push(probe);
    }
    if let QueueConfig::Embedded { path, .. } = &mut config.queue
        && let Some(probe) = Probe::beside(path)
    {
        probe.path().clone_into(path);
        probes.push(probe);
    }
    (config, probes)
}
