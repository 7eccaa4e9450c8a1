//! Tells a copy from a person's file of the same name and size by comparing their content (`R13`: unknown write outcome).

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use sha2::{Digest as _, Sha256};

use super::Deps;
use crate::cases::{ApiError, ApiErrorKind, Attachment};
use crate::entities::{CaseMapping, Pending, Side, Sides};
use crate::sync::{KnownDifferent, Lookalike};

/// Maximum size of a file that is compared. Larger files with the same name and exactly the same size are taken for the same: reading them
/// again in each sync could take longer than a task may run.
const LARGEST_COMPARED: u64 = 16 << 20;

/// Result of reading a file for a comparison.
enum Reading {
    /// Digest of the file's content.
    Content([u8; 32]),
    /// The file's system will never return the content.
    Never,
    /// The file's system may return the content later.
    NotYet(ApiError),
}

/// Reads both files of each attachment match, and returns the matches that differ. `ids` are the cases of the pair, whose `mapping` this is.
///
/// A listed file that is not found, or may not be read, may be read later (`R28`: missing is not gone; `R39`: a file may be listed and not
/// returned). While an upload without an answer may have left the candidate, or the pair is relinking, such a match is recorded as not
/// compared yet, and only that file waits. The wait is limited: it ends once the upload, or the last complete sync or the link, is older
/// than the time after which writes are given up.
pub(super) async fn known_different(
    deps: &Deps,
    mapping: &CaseMapping,
    ids: Sides<&str>,
    lookalikes: Vec<Lookalike<'_>>,
) -> Result<KnownDifferent, ApiError> {
    let mut known_different = KnownDifferent::default();
    let now = deps.clock.now();
    let is_recent = |at: DateTime<Utc>| now - at < deps.settings.give_up_after;
    let in_step = Side::BOTH.map(|side| mapping.stored_synced_at(side)).into_iter().max().flatten();
    let relinks = mapping.relinking && mapping.linked_at.max(in_step).is_some_and(is_recent);
    for found in lookalikes {
        let small = |attachment: &Attachment| attachment.size.is_none_or(|size| size <= LARGEST_COMPARED);
        if !small(found.candidate) || !small(found.original) {
            continue;
        }
        let is_left = |pending: &Pending| is_recent(pending.attempted_at) && found.may_be_left_by(pending);
        let is_patient = relinks || mapping.pending.iter().any(is_left);
        let (candidate, original) = tokio::try_join!(
            read(deps, found.side, ids[found.side], found.candidate, is_patient),
            read(deps, found.side.other(), ids[found.side.other()], found.original, is_patient),
        )?;
        match (candidate, original) {
            (Reading::Content(candidate), Reading::Content(original)) => {
                if candidate != original {
                    known_different.note(found);
                }
            }
            // If a file cannot be read at all, its name and size decide.
            (Reading::Never, _) | (_, Reading::Never) => {}
            (Reading::NotYet(error), _) | (_, Reading::NotYet(error)) => {
                known_different.note_uncompared(found, error.to_string());
            }
        }
    }
    Ok(known_different)
}

/// Reads a file and returns the digest of its content.
async fn read(
    deps: &Deps,
    side: Side,
    case: &str,
    attachment: &Attachment,
    is_patient: bool,
) -> Result<Reading, ApiError> {
    let read = async {
        let mut content = deps.systems[side].download(case, attachment).await?.content;
        let mut hash = Sha256::new();
        while let Some(piece) = content.try_next().await? {
            hash.update(&piece);
        }
        Ok::<[u8; 32], ApiError>(hash.finalize().into())
    };
    match read.await {
        Ok(digest) => Ok(Reading::Content(digest)),
        Err(error) if is_final(&error) => Ok(Reading::Never),
        // A file that may not be read is like one that is not found. If its case is not found either, its system hides everything by now.
        Err(error) if error.is_for_good() => match deps.systems[side].get(case).await? {
            Some(_) if is_patient => Ok(Reading::NotYet(error)),
            Some(_) => Ok(Reading::Never),
            None => Err(error),
        },
        Err(error) => Err(error),
    }
}

fn is_final(error: &ApiError) -> bool {
    match error.kind {
        ApiErrorKind::WrongContent
        | ApiErrorKind::Refused
        | ApiErrorKind::Unacceptable
        | ApiErrorKind::Unsupported => true,
        ApiErrorKind::NotFound
        | ApiErrorKind::Unauthorized
        | ApiErrorKind::NotApplied
        | ApiErrorKind::Uncertain
        | ApiErrorKind::Unreadable => false,
    }
}
