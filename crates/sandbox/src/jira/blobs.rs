//! Bytes of attachments: in files, in memory, computed, or not kept at all. Large ones are handled piece by piece.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt as _;

use super::settings::KeepUploads;
use super::state::{Attachment, Content};

const BLOCK: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Blobs {
    /// Folder with a file for each attachment, named after its ID; `None`: the content is in `memory`.
    dir: Option<PathBuf>,
    memory: Mutex<HashMap<u64, Bytes>>,
    keep: KeepUploads,
    uploads: AtomicU64,
}

/// Upload in progress. Dropped before its end, it leaves no file behind.
#[derive(Debug)]
pub(super) struct Upload {
    hash: Sha256,
    size: u64,
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    Memory(Vec<u8>),
    File(tokio::fs::File, Leftover),
    Nothing,
}

/// Path of an unfinished file, which is removed on drop.
#[derive(Debug)]
struct Leftover(PathBuf);

impl Drop for Leftover {
    fn drop(&mut self) {
        // The file does not exist any more if the upload was finished.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Size, hash and place of a finished upload.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) size: u64,
    pub(super) sha256: String,
    pub(super) content: Content,
}

impl Blobs {
    pub(super) fn in_memory(keep: KeepUploads) -> Self {
        Self { dir: None, memory: Mutex::default(), keep, uploads: AtomicU64::new(0) }
    }

    /// Makes the folder if it does not exist, and removes uploads that a killed process left unfinished.
    pub(super) fn in_files(dir: PathBuf, keep: KeepUploads) -> io::Result<Self> {
        std::fs::create_dir_all(&dir)?;
        for entry in std::fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "part") {
                std::fs::remove_file(path)?;
            }
        }
        Ok(Self { dir: Some(dir), ..Self::in_memory(keep) })
    }

    pub(super) async fn begin(&self) -> io::Result<Upload> {
        let sink = match (self.keep, &self.dir) {
            (KeepUploads::HashOnly, _) => Sink::Nothing,
            (KeepUploads::Whole, None) => Sink::Memory(Vec::new()),
            (KeepUploads::Whole, Some(dir)) => {
                let number = self.uploads.fetch_add(1, Ordering::Relaxed);
                let path = dir.join(format!("upload-{number}.part"));
                Sink::File(tokio::fs::File::create(&path).await?, Leftover(path))
            }
        };
        Ok(Upload { hash: Sha256::new(), size: 0, sink })
    }

    /// Completes an upload and stores it under the attachment's ID.
    pub(super) async fn finish(&self, upload: Upload, id: u64) -> io::Result<Stored> {
        let content = match upload.sink {
            Sink::Nothing => Content::HashOnly,
            Sink::Memory(bytes) => {
                self.memory.lock().unwrap_or_else(PoisonError::into_inner).insert(id, bytes.into());
                Content::Kept
            }
            Sink::File(mut file, leftover) => {
                file.flush().await?;
                if let Some(path) = self.path(id) {
                    tokio::fs::rename(&leftover.0, path).await?;
                }
                Content::Kept
            }
        };
        Ok(Stored { size: upload.size, sha256: hex::encode(upload.hash.finalize()), content })
    }

    /// Stores bytes that are in memory already.
    pub(super) fn put(&self, id: u64, bytes: Bytes) -> io::Result<Stored> {
        let (size, sha256) = (bytes.len() as u64, hex::encode(Sha256::digest(&bytes)));
        match self.path(id) {
            Some(path) => std::fs::write(path, bytes)?,
            None => {
                self.memory.lock().unwrap_or_else(PoisonError::into_inner).insert(id, bytes);
            }
        }
        Ok(Stored { size, sha256, content: Content::Kept })
    }

    pub(super) fn remove(&self, id: u64) {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(path) = self.path(id)
            && let Err(error) = std::fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), error = %error, "cannot remove an attachment's file");
        }
    }

    /// Returns the content as the body of an answer; `NotFound` if it was not kept.
    pub(super) async fn body(&self, attachment: &Attachment) -> io::Result<Body> {
        match attachment.content {
            Content::HashOnly => Err(io::ErrorKind::NotFound.into()),
            Content::Synthetic(seed) => {
                let blocks = Synthetic::new(seed, attachment.size).map(Ok::<_, io::Error>);
                Ok(Body::from_stream(stream::iter(blocks)))
            }
            Content::Kept => match self.path(attachment.id) {
                None => self.remembered(attachment.id).map(Body::from),
                Some(path) => {
                    let file = tokio::fs::File::open(path).await?;
                    Ok(Body::from_stream(tokio_util::io::ReaderStream::with_capacity(file, BLOCK)))
                }
            },
        }
    }

    /// Returns the whole content; `NotFound` if it was not kept.
    pub(super) fn read(&self, attachment: &Attachment) -> io::Result<Vec<u8>> {
        match attachment.content {
            Content::HashOnly => Err(io::ErrorKind::NotFound.into()),
            Content::Synthetic(seed) => {
                Ok(Synthetic::new(seed, attachment.size).flat_map(|block| block.to_vec()).collect())
            }
            Content::Kept => match self.path(attachment.id) {
                None => self.remembered(attachment.id).map(|bytes| bytes.to_vec()),
                Some(path) => std::fs::read(path),
            },
        }
    }

    fn remembered(&self, id: u64) -> io::Result<Bytes> {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.get(&id).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn path(&self, id: u64) -> Option<PathBuf> {
        self.dir.as_ref().map(|dir| dir.join(id.to_string()))
    }
}

impl Upload {
    pub(super) async fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.hash.update(piece);
        self.size += piece.len() as u64;
        match &mut self.sink {
            Sink::Memory(bytes) => {
                bytes.extend_from_slice(piece);
                Ok(())
            }
            Sink::File(file, _) => file.write_all(piece).await,
            Sink::Nothing => Ok(()),
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }
}

/// Returns the SHA-256 of synthetic content, in lower-case hex.
pub(super) fn synthetic_sha256(seed: u64, size: u64) -> String {
    let mut hash = Sha256::new();
    for block in Synthetic::new(seed, size) {
        hash.update(&block);
    }
    hex::encode(hash.finalize())
}

/// Computes content from a seed, block by block. Each block holds its number, so that a swapped or repeated block changes the hash.
#[derive(Debug)]
struct Synthetic {
    pattern: Vec<u8>,
    number: u64,
    left: u64,
}

impl Synthetic {
    fn new(seed: u64, size: u64) -> Self {
        // SplitMix64: cheap, and different seeds give different content.
        let mut state = seed;
        let mut pattern = Vec::with_capacity(BLOCK);
        while pattern.len() < BLOCK {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut word = state;
            word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            pattern.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
        }
        Self { pattern, number: 0, left: size }
    }
}

impl Iterator for Synthetic {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.left == 0 {
            return None;
        }
        self.pattern[..8].copy_from_slice(&self.number.to_be_bytes());
        self.number += 1;
        let length = usize::try_from(self.left).unwrap_or(BLOCK).min(BLOCK);
        self.left -= length as u64;
        Some(Bytes::copy_from_slice(&self.pattern[..length]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synthetic_content_has_its_size_and_depends_on_its_seed() {
        let bytes = |seed, size| Synthetic::new(seed, size).flatten().collect::<Vec<u8>>();
        assert_eq!(bytes(1, 150_000).len(), 150_000);
        assert_eq!(bytes(1, 0).len(), 0);
        assert_eq!(bytes(1, 150_000), bytes(1, 150_000));
        assert_ne!(bytes(1, 100), bytes(2, 100));
        assert_eq!(synthetic_sha256(3, 70_000), hex::encode(Sha256::digest(bytes(3, 70_000))));
    }
}
