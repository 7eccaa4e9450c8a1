//! Actions of operators on a pair, for the pages, the HTTP interface and the command line: retry, pause, resume, unlink, skip. Each is logged
//! with its operator.

use super::Deps;
use super::hint::{self, HintError, Taken};
use super::sync_case::held_words;
use crate::cases::{ApiError, Content, Hint, bounded};
use crate::entities::{CaseMapping, FirstSeen, ItemKind, MappingId, Order, Side, Skipped, Source};
use crate::store::{StoreError, modify};

/// Maximum length of a reason and of an operator's name, in bytes.
pub(super) const MAX_WORDS: usize = 500;

/// Action of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// Forget which writes were refused, and sync both sides again now.
    Retry,
    /// Carry nothing until the pair is resumed. Changes are noted meanwhile.
    Pause {
        /// Reason for others.
        reason: Option<String>,
    },
    /// Go on with a pair that was paused or unlinked, and sync both sides now.
    Resume,
    /// End the pair; both cases stay as they are. It is remembered, so that no poll links them again.
    Unlink {
        /// Reason for others.
        reason: Option<String>,
    },
    /// Exclude one comment or file from the sync.
    Skip {
        /// ID of the item; `google:` or `company:` before it names its side.
        item: String,
        /// Reason, which is kept.
        reason: String,
    },
}

impl Verb {
    /// Names of the actions in requests.
    pub const NAMES: [&'static str; 5] = ["retry", "pause", "resume", "unlink", "skip"];

    /// Returns the action with that name. `None` if there is none, or if it needs an item or a reason that is missing.
    #[must_use]
    pub fn new(name: &str, item: Option<String>, reason: Option<String>) -> Option<Self> {
        let words = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let (item, reason) = (words(item), words(reason));
        Some(match name {
            "retry" => Self::Retry,
            "pause" => Self::Pause { reason },
            "resume" => Self::Resume,
            "unlink" => Self::Unlink { reason },
            "skip" => Self::Skip { item: item?, reason: reason? },
            _ => return None,
        })
    }

    /// Returns the name of the action in requests.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Pause { .. } => "pause",
            Self::Resume => "resume",
            Self::Unlink { .. } => "unlink",
            Self::Skip { .. } => "skip",
        }
    }
}

/// Reason why an action was not done.
#[derive(Debug, thiserror::Error)]
pub enum OperateError {
    /// The pair's state does not allow it. Says what to do instead.
    #[error("{0}")]
    Refused(String),
    /// A system could not be read.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The change is stored, and no sync could be queued.
    #[error(transparent)]
    Queue(#[from] HintError),
}

/// Does an action on a pair, in the name of `by`. Returns the outcome of queueing the sync of each side, if the action asks for that.
pub async fn operate(
    deps: &Deps,
    mapping: CaseMapping,
    verb: &Verb,
    by: &str,
) -> Result<Vec<(Side, Taken)>, OperateError> {
    let (id, by) = (mapping.id, bounded(by, MAX_WORDS));
    let outcome = act(deps, mapping, verb, &by).await;
    let (action, mapping) = (verb.name(), id.to_string());
    match &outcome {
        Ok(_) => tracing::info!(operator = by, action, mapping, "{by}: {action} pair {mapping}"),
        Err(error) => {
            tracing::info!(
                operator = by,
                action,
                mapping,
                "{by}: {action} pair {mapping}: not done: {error}"
            );
        }
    }
    outcome
}

async fn act(
    deps: &Deps,
    mapping: CaseMapping,
    verb: &Verb,
    by: &str,
) -> Result<Vec<(Side, Taken)>, OperateError> {
    let now = deps.clock.now();
    let order = |reason: &Option<String>| Order {
        since: now,
        by: by.to_owned(),
        reason: reason.as_deref().map(|reason| bounded(reason.trim(), MAX_WORDS)),
    };
    match verb {
        Verb::Retry => {
            let mapping = changed(deps, mapping, |mapping| {
                not_held(mapping)?;
                mapping.state.try_again();
                Ok(())
            })
            .await?;
            sync_both(deps, &mapping).await
        }
        Verb::Pause { reason } => {
            changed(deps, mapping, |mapping| {
                not_held(mapping)?;
                mapping.state.operator_pause = Some(Box::new(order(reason)));
                Ok(())
            })
            .await?;
            Ok(Vec::new())
        }
        Verb::Unlink { reason } => {
            changed(deps, mapping, |mapping| {
                if mapping.state.unlinked.is_some() {
                    not_held(mapping)?;
                }
                if !mapping.is_linked() {
                    return Err(
                        "it has only one case: take the flag away, or `casebridge pause` it".to_owned()
                    );
                }
                mapping.unlink(order(reason));
                Ok(())
            })
            .await?;
            Ok(Vec::new())
        }
        Verb::Resume => {
            let mapping = changed(deps, mapping, |mapping| {
                if mapping.resume_held(now) {
                    return Ok(());
                }
                Err(if mapping.paused {
                    "no operator paused it: its company case has no flag; set the flag there".to_owned()
                } else {
                    "it is not paused".to_owned()
                })
            })
            .await?;
            sync_both(deps, &mapping).await
        }
        Verb::Skip { item, reason } => {
            let (side, id) = find_item(deps, &mapping, item).await?;
            let skipped = Skipped {
                side,
                id,
                since: now,
                by: by.to_owned(),
                reason: bounded(reason.trim(), MAX_WORDS),
            };
            let mapping = changed(deps, mapping, |mapping| {
                let is_new = mapping.state.skip(skipped.clone());
                if is_new { Ok(()) } else { Err("it is skipped already".to_owned()) }
            })
            .await?;
            if mapping.held().is_some() { Ok(Vec::new()) } else { sync_both(deps, &mapping).await }
        }
    }
}

/// Changes a mapping by compare-and-swap, unless `change` refuses.
async fn changed(
    deps: &Deps,
    mapping: CaseMapping,
    change: impl Fn(&mut CaseMapping) -> Result<(), String> + Send + Sync,
) -> Result<CaseMapping, OperateError> {
    let id: MappingId = mapping.id;
    let mut refused = None;
    let stored = modify(deps.store.as_ref(), mapping, |mapping| match change(mapping) {
        Ok(()) => true,
        Err(reason) => {
            refused = Some(reason);
            false
        }
    })
    .await?;
    match (stored, refused) {
        (Some(mapping), _) => {
            deps.unchanged.forget(&mapping);
            Ok(mapping)
        }
        (None, Some(reason)) => Err(OperateError::Refused(format!("pair {id}: {reason}"))),
        (None, None) => Err(StoreError::Gone(id).into()),
    }
}

fn not_held(mapping: &CaseMapping) -> Result<(), String> {
    held_words(mapping).map_or(Ok(()), Err)
}

/// Marks both sides as dirty and queues their syncs.
pub(super) async fn sync_both(
    deps: &Deps,
    mapping: &CaseMapping,
) -> Result<Vec<(Side, Taken)>, OperateError> {
    let cases = [
        mapping.google_case_name.clone().map(FirstSeen::Google),
        mapping.company_case_id.clone().map(FirstSeen::Company),
    ];
    let mut taken = Vec::new();
    for case in cases.into_iter().flatten() {
        let side = case.side();
        taken.push((side, Box::pin(hint::take(deps, &Hint { case, item: None, user: None })).await?));
    }
    Ok(taken)
}

/// Finds the comment or file that an operator means. Reads both cases: an ID that nothing has would be kept for ever and do nothing.
async fn find_item(deps: &Deps, mapping: &CaseMapping, item: &str) -> Result<(Side, String), OperateError> {
    let refused = |why: &str| OperateError::Refused(format!("pair {}: {why}", mapping.id));
    let item = item.trim();
    let (only, id) = match item.split_once(':') {
        Some(("google", id)) => (Some(Side::Google), id),
        Some(("company", id)) => (Some(Side::Company), id),
        _ => (None, item),
    };
    let mut found = Vec::new();
    for side in Side::BOTH.into_iter().filter(|side| only.is_none_or(|only| only == *side)) {
        let Some(case) = mapping.case_id(side) else { continue };
        let Content { comments, attachments } = deps.systems[side].content(case, None).await?;
        let comments = comments.into_iter().map(|comment| (ItemKind::Comment, comment.id));
        let files = attachments.into_iter().map(|file| (ItemKind::Attachment, file.id));
        found.extend(
            comments.chain(files).filter(|(_, known)| known == id).map(|(kind, id)| (side, kind, id)),
        );
    }
    let mut sides: Vec<Side> = found.iter().map(|(side, ..)| *side).collect();
    sides.dedup();
    let (side, kind, id) = match (sides.len(), found.pop()) {
        (1, Some(found)) => found,
        (0, _) | (_, None) => return Err(refused("neither case has a comment or a file with that ID")),
        _ => {
            return Err(refused(&format!("both cases have an item {id}: say google:{id} or company:{id}")));
        }
    };
    if mapping.ledger.wrote(side, kind, &id) {
        return Err(refused("the connector wrote that item itself: name the original on the other case"));
    }
    let source = match kind {
        ItemKind::Comment => Source::Comment { id: id.clone(), part: 1 },
        ItemKind::Attachment => Source::Attachment { id: id.clone() },
    };
    if mapping.ledger.has_copy(side.other(), &source) {
        return Err(refused("that item was carried already"));
    }
    Ok((side, id))
}
