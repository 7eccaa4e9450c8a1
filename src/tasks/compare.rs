//! Tells a copy from a person's file of the same name and size by comparing their content (`R13`: unknown write outcome).

use futures_util::TryStreamExt as _;
use sha2::{Digest as _, Sha256};

use super::Deps;
use crate::cases::{ApiError, ApiErrorKind, Attachment};
use crate::entities::{CaseMapping, Side, Sides};
use crate::sync::{KnownDifferent, Lookalike};

/// Maximum size of a file that is compared. Larger files with the same name and exactly the same size are taken for the same: reading them
/// again in each sync could take longer than a task may run.
const LARGEST_COMPARED: u64 = 16 << 20;

/// Reads both files of each attachment match, and returns the matches that differ. `ids` are the cases of the pair, whose `mapping` this is.
pub(super) async fn known_different(
    deps: &Deps,
    mapping: &CaseMapping,
    ids: Sides<&str>,
    lookalikes: Vec<Lookalike<'_>>,
) -> Result<KnownDifferent, ApiError> {
    let mut known_different = KnownDifferent::default();
    // A listed file that is not found may be found later (R28: missing is not gone). The wait is limited: it ends once every write without
    // an outcome is older than the time after which writes are given up.
    let now = deps.clock.now();
    let is_patient =
        mapping.pending.iter().any(|pending| now - pending.attempted_at < deps.settings.give_up_after);
    for found in lookalikes {
        let small = |attachment: &Attachment| attachment.size.is_none_or(|size| size <= LARGEST_COMPARED);
        if !small(found.candidate) || !small(found.original) {
            continue;
        }
        let (candidate, original) = tokio::try_join!(
            digest(deps, found.side, ids[found.side], found.candidate, is_patient),
            digest(deps, found.side.other(), ids[found.side.other()], found.original, is_patient),
        )?;
        // If a file cannot be read at all, its name and size decide.
        if candidate.is_some() && original.is_some() && candidate != original {
            known_different.note(found);
        }
    }
    Ok(known_different)
}

/// Returns the digest of a file's content; `None` if its system will never return the content.
async fn digest(
    deps: &Deps,
    side: Side,
    case: &str,
    attachment: &Attachment,
    is_patient: bool,
) -> Result<Option<[u8; 32]>, ApiError> {
    let read = async {
        let mut content = deps.systems[side].download(case, attachment).await?.content;
        let mut hash = Sha256::new();
        while let Some(piece) = content.try_next().await? {
            hash.update(&piece);
        }
        Ok::<[u8; 32], ApiError>(hash.finalize().into())
    };
    match read.await {
        Ok(digest) => Ok(Some(digest)),
        // If the case is not found either, its system hides everything by now.
        Err(error) if error.kind == ApiErrorKind::NotFound && !is_patient => {
            match deps.systems[side].get(case).await? {
                Some(_) => Ok(None),
                None => Err(error),
            }
        }
        Err(error) if is_final(&error) => Ok(None),
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
