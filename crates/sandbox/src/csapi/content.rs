//! Bytes of attachments: in memory while small, in files when large, or computed on the fly.
//!
//! A large attachment is handled piece by piece and never held in memory as a whole.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use tokio_util::io::ReaderStream;

/// Size in bytes above which content goes to a scratch file, if there is no data directory.
const MEMORY_LIMIT: usize = 1 << 20;

/// Size in bytes of a piece of streamed content.
const PIECE: usize = 64 * 1024;

/// Place of an attachment's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Content {
    /// In memory. Not used with a data directory, so it is not stored.
    #[serde(skip)]
    Memory(Bytes),
    /// A file in the directory of [`Files`].
    File { file: String },
    /// Computed on each read, by [`synthetic_piece`].
    Synthetic { seed: u64, size: u64 },
    /// Not kept: only the hash is known.
    HashOnly { sha256: String },
}

/// Directory that holds attachment files.
#[derive(Debug)]
pub(super) struct Files {
    directory: PathBuf,
    /// True if the directory is kept across runs. A scratch directory is made at the first use and removed at the end.
    durable: bool,
    next: AtomicU64,
}

impl Files {
    /// Uses `directory`, and makes it if it does not exist.
    pub(super) fn durable(directory: PathBuf) -> std::io::Result<Self> {
        std::fs::create_dir_all(&directory)?;
        let mut next = 1;
        for entry in std::fs::read_dir(&directory)? {
            let name = entry?.file_name();
            let number = name.to_string_lossy().trim_end_matches(".part").parse::<u64>().unwrap_or(0);
            next = next.max(number.saturating_add(1));
        }
        Ok(Self { directory, durable: true, next: AtomicU64::new(next) })
    }

    /// Uses a scratch directory that is removed when this value is dropped.
    pub(super) fn scratch() -> Self {
        static SANDBOXES: AtomicU64 = AtomicU64::new(0);
        let name = format!(
            "casebridge-sandbox-{}-{}",
            std::process::id(),
            SANDBOXES.fetch_add(1, Ordering::Relaxed)
        );
        Self { directory: std::env::temp_dir().join(name), durable: false, next: AtomicU64::new(1) }
    }

    /// Removes every file that is not in `named`, for example uploads that a killed process left unfinished.
    pub(super) fn keep_only(&self, named: &std::collections::HashSet<String>) -> std::io::Result<()> {
        for entry in std::fs::read_dir(&self.directory)? {
            let entry = entry?;
            if !named.contains(entry.file_name().to_string_lossy().as_ref()) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Stores bytes that are in memory already.
    pub(super) fn store(&self, bytes: &[u8]) -> std::io::Result<Content> {
        if !self.durable && bytes.len() <= MEMORY_LIMIT {
            return Ok(Content::Memory(Bytes::copy_from_slice(bytes)));
        }
        let (file, path) = self.new_file()?;
        std::fs::File::create(path)?.write_all(bytes)?;
        Ok(Content::File { file })
    }

    /// Starts an upload whose bytes are still to come; if `keep` is false, it only counts and hashes them.
    pub(super) fn sink(&self, keep: bool) -> Sink<'_> {
        Sink { files: self, keep, memory: Vec::new(), file: None, hasher: Sha256::new(), size: 0 }
    }

    /// Removes content that nothing refers to any more.
    pub(super) fn remove(&self, content: &Content) {
        if let Content::File { file } = content {
            // A file that cannot be removed now is removed at the next start, by `keep_only`.
            let _ = std::fs::remove_file(self.directory.join(file));
        }
    }

    /// Returns up to `size` bytes from `start` on as an answer's body; `None` if the content was not kept.
    pub(super) async fn stream(
        &self,
        content: &Content,
        start: u64,
        size: u64,
    ) -> std::io::Result<Option<Body>> {
        Ok(match content {
            Content::Memory(bytes) => {
                let start = index(start).min(bytes.len());
                let end = start.saturating_add(index(size)).min(bytes.len());
                Some(Body::from(bytes.slice(start..end)))
            }
            Content::File { file } => {
                let mut file = tokio::fs::File::open(self.directory.join(file)).await?;
                file.seek(SeekFrom::Start(start)).await?;
                Some(Body::from_stream(ReaderStream::with_capacity(file.take(size), PIECE)))
            }
            Content::Synthetic { seed, size: whole } => {
                let (seed, end) = (*seed, start.saturating_add(size).min(*whole));
                Some(Body::from_stream(stream::unfold(start, move |position| async move {
                    let piece = synthetic_piece(seed, position, end);
                    let after = position + piece.len() as u64;
                    (!piece.is_empty()).then_some((Ok::<_, std::io::Error>(piece), after))
                })))
            }
            Content::HashOnly { .. } => None,
        })
    }

    /// Passes content to `take` piece by piece; false if the content was not kept.
    pub(super) fn read(&self, content: &Content, mut take: impl FnMut(&[u8])) -> std::io::Result<bool> {
        match content {
            Content::Memory(bytes) => take(bytes),
            Content::File { file } => {
                let mut file = std::fs::File::open(self.directory.join(file))?;
                file.seek(SeekFrom::Start(0))?;
                let mut piece = vec![0; PIECE];
                loop {
                    match file.read(&mut piece)? {
                        0 => break,
                        read => take(&piece[..read]),
                    }
                }
            }
            Content::Synthetic { seed, size } => {
                let mut position = 0;
                while position < *size {
                    let piece = synthetic_piece(*seed, position, *size);
                    position += piece.len() as u64;
                    take(&piece);
                }
            }
            Content::HashOnly { .. } => return Ok(false),
        }
        Ok(true)
    }

    fn new_file(&self) -> std::io::Result<(String, PathBuf)> {
        std::fs::create_dir_all(&self.directory)?;
        let file = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let path = self.directory.join(&file);
        Ok((file, path))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if !self.durable {
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }
}

/// Upload in progress. Dropped before [`Sink::finish`], it leaves no file behind.
pub(super) struct Sink<'a> {
    files: &'a Files,
    keep: bool,
    memory: Vec<u8>,
    file: Option<Partial>,
    hasher: Sha256,
    size: u64,
}

struct Partial {
    name: String,
    /// Path of the file, which ends in `.part` until the upload is complete.
    path: PathBuf,
    file: tokio::fs::File,
    complete: bool,
}

impl Sink<'_> {
    /// Number of bytes received so far.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.size += bytes.len() as u64;
        if !self.keep {
            self.hasher.update(bytes);
            return Ok(());
        }
        if self.file.is_none() && !self.files.durable && self.memory.len() + bytes.len() <= MEMORY_LIMIT {
            self.memory.extend_from_slice(bytes);
            return Ok(());
        }
        let partial = self.open().await?;
        partial.file.write_all(bytes).await
    }

    /// Returns the file to write to. The first call makes it and moves the bytes in memory into it.
    async fn open(&mut self) -> std::io::Result<&mut Partial> {
        let partial = if let Some(partial) = self.file.take() {
            partial
        } else {
            let (name, path) = self.files.new_file()?;
            let path = path.with_extension("part");
            let file = tokio::fs::File::create(&path).await?;
            let mut partial = Partial { name, path, file, complete: false };
            partial.file.write_all(&std::mem::take(&mut self.memory)).await?;
            partial
        };
        Ok(self.file.insert(partial))
    }

    /// Completes the upload.
    pub(super) async fn finish(mut self) -> std::io::Result<Content> {
        if !self.keep {
            return Ok(Content::HashOnly { sha256: hex::encode(self.hasher.finalize()) });
        }
        if self.file.is_none() && !self.files.durable {
            return Ok(Content::Memory(self.memory.into()));
        }
        let partial = self.open().await?;
        partial.file.flush().await?;
        tokio::fs::rename(&partial.path, partial.path.with_extension("")).await?;
        partial.complete = true;
        Ok(Content::File { file: partial.name.clone() })
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.complete {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Returns the SHA-256, in hex, of synthetic content: the expected hash of a download.
pub fn synthetic_sha256(seed: u64, size: u64) -> String {
    let mut hasher = Sha256::new();
    let mut position = 0;
    while position < size {
        let piece = synthetic_piece(seed, position, size);
        position += piece.len() as u64;
        hasher.update(&piece);
    }
    hex::encode(hasher.finalize())
}

/// Returns the bytes of synthetic content from `start` to the end of its block or of the content. Each block is the seed's pattern with
/// the block's number in front, so that a lost, repeated or misplaced block is noticed.
fn synthetic_piece(seed: u64, start: u64, end: u64) -> Bytes {
    let block = start / PIECE as u64;
    let mut bytes = Vec::with_capacity(PIECE);
    bytes.extend_from_slice(&block.to_le_bytes());
    let mut state = seed;
    while bytes.len() < 256 {
        // SplitMix64: any generator would do, as long as it is the same everywhere.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bytes.extend_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes());
    }
    while bytes.len() < PIECE {
        let copied = (PIECE - bytes.len()).min(bytes.len());
        bytes.extend_from_within(..copied);
    }
    let first = index(start % PIECE as u64);
    let last = index(end.saturating_sub(start)).saturating_add(first).min(PIECE);
    Bytes::from(bytes).slice(first..last.max(first))
}

/// Converts a size or position within memory.
fn index(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

/// Reports if a directory holds no file.
#[cfg(test)]
fn is_empty(directory: &std::path::Path) -> bool {
    std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(files: &Files, content: &Content) -> Vec<u8> {
        let mut bytes = Vec::new();
        assert!(files.read(content, |piece| bytes.extend_from_slice(piece)).unwrap());
        bytes
    }

    #[tokio::test]
    async fn small_uploads_stay_in_memory_and_large_ones_go_to_files_that_vanish() {
        let files = Files::scratch();
        let large = vec![7; MEMORY_LIMIT + 1];
        let mut sink = files.sink(true);
        for piece in large.chunks(1000) {
            sink.write(piece).await.unwrap();
        }
        let content = sink.finish().await.unwrap();
        assert!(matches!(content, Content::File { .. }));
        assert_eq!(all(&files, &content), large);
        let small = files.store(b"small").unwrap();
        assert_eq!((all(&files, &small), matches!(small, Content::Memory(_))), (b"small".to_vec(), true));
        let directory = files.directory.clone();
        drop(files);
        assert!(!directory.exists());
    }

    #[tokio::test]
    async fn an_upload_that_was_given_up_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::durable(directory.path().to_owned()).unwrap();
        let mut sink = files.sink(true);
        sink.write(b"half").await.unwrap();
        drop(sink);
        assert!(is_empty(directory.path()));
        let content = files.sink(true).finish().await.unwrap();
        assert_eq!(all(&files, &content), b"", "an empty upload is a file as well");
    }

    #[tokio::test]
    async fn uploads_may_be_hashed_only() {
        let files = Files::scratch();
        let mut sink = files.sink(false);
        sink.write(b"abc").await.unwrap();
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_owned();
        assert_eq!(sink.size(), 3);
        assert_eq!(sink.finish().await.unwrap(), Content::HashOnly { sha256 });
    }

    #[tokio::test]
    async fn any_stretch_of_any_content_can_be_streamed() {
        let files = Files::scratch();
        let size = 3 * PIECE as u64 + 5;
        let synthetic = Content::Synthetic { seed: 9, size };
        let whole = all(&files, &synthetic);
        assert_eq!(whole.len() as u64, size);
        assert_ne!(whole[..PIECE], whole[PIECE..2 * PIECE]);
        let stored = files.store(&whole).unwrap();
        let large = files.store(&whole.repeat(6)).unwrap();
        for (content, start, length) in [
            (&synthetic, 0, size),
            (&synthetic, 10, 20),
            (&synthetic, PIECE as u64 - 1, PIECE as u64 + 2),
            (&synthetic, size - 1, 100),
            (&synthetic, size + 1, 100),
            (&stored, 10, 20),
            (&stored, size + 1, 2),
            (&large, 10, PIECE as u64 * 2),
        ] {
            let body = files.stream(content, start, length).await.unwrap().unwrap();
            let got = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            let first = index(start).min(whole.len());
            let last = index(start + length).min(whole.len());
            assert!(got == whole[first..last], "{start}+{length}");
        }
        assert_eq!(synthetic_sha256(9, size), hex::encode(Sha256::digest(&whole)));
    }
}
