//! Bytes of attachments: in files, in memory, or computed.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use sha2::{Digest as _, Sha256};

const BLOCK: usize = 64 * 1024;

/// Content that is computed from a seed on each read, and stored nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Computed {
    pub(super) seed: u64,
    /// Size in bytes.
    pub(super) size: u64,
}

#[derive(Debug)]
pub(super) struct Blobs {
    /// Folder with a file for each attachment, named after its ID; `None`: the content is in `memory`.
    dir: Option<PathBuf>,
    memory: Mutex<HashMap<String, Bytes>>,
}

impl Blobs {
    pub(super) fn in_memory() -> Self {
        Self { dir: None, memory: Mutex::default() }
    }

    pub(super) fn in_files(dir: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&dir)?;
        Ok(Self { dir: Some(dir), memory: Mutex::default() })
    }

    /// Stores content under an ID. The ID becomes a file name, so it must be one that the sandbox made.
    pub(super) fn put(&self, id: &str, bytes: Bytes) -> io::Result<()> {
        if let Some(dir) = &self.dir {
            return std::fs::write(dir.join(id), bytes);
        }
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), bytes);
        Ok(())
    }

    pub(super) fn remove(&self, id: &str) {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        if let Some(dir) = &self.dir
            && let Err(error) = std::fs::remove_file(dir.join(id))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(attachment = id, error = %error, "cannot remove an attachment's file");
        }
    }

    /// Returns the whole content.
    pub(super) fn read(&self, id: &str, computed: Option<Computed>) -> io::Result<Bytes> {
        if let Some(computed) = computed {
            return Ok(blocks(computed).flatten().collect::<Vec<u8>>().into());
        }
        if let Some(dir) = &self.dir {
            return std::fs::read(dir.join(id)).map(Bytes::from);
        }
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.get(id).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Returns the content as the body of an answer.
    pub(super) fn body(&self, id: &str, computed: Option<Computed>) -> io::Result<Body> {
        match computed {
            Some(computed) => {
                let blocks = blocks(computed).map(Ok::<_, io::Error>);
                Ok(Body::from_stream(stream::iter(blocks)))
            }
            None => self.read(id, None).map(Body::from),
        }
    }
}

/// Returns the SHA-256 of bytes, in lower-case hex.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Returns the SHA-256 of computed content, in lower-case hex.
pub(super) fn computed_sha256(computed: Computed) -> String {
    let mut hash = Sha256::new();
    for block in blocks(computed) {
        hash.update(&block);
    }
    hex::encode(hash.finalize())
}

/// Computes content from a seed, block by block. Each block holds its number, so that a swapped or repeated block changes the hash.
fn blocks(Computed { seed, size }: Computed) -> impl Iterator<Item = Bytes> {
    let block = BLOCK as u64;
    (0..size.div_ceil(block)).map(move |number| {
        let length = usize::try_from(size - number * block).unwrap_or(BLOCK).min(BLOCK);
        let word = (seed ^ number.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes();
        word.into_iter().cycle().take(length).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synthetic_content_has_its_size_and_depends_on_its_seed() {
        let bytes = |seed, size| blocks(Computed { seed, size }).flatten().collect::<Vec<u8>>();
        assert_eq!(bytes(1, 150_000).len(), 150_000);
        assert_eq!(bytes(1, 0).len(), 0);
        assert_ne!(bytes(1, 100), bytes(2, 100));
        assert_eq!(computed_sha256(Computed { seed: 3, size: 70_000 }), sha256(&bytes(3, 70_000)));
    }
}
