//! Decides from one side's lists alone that a pair has nothing new (`R8`: idle cases).

use crate::cases::{Attachment, Comment, Content};
use crate::entities::{CaseMapping, ItemKind, Side, Source};

use super::plan::Rules;
use super::snapshot::{CLOCKS_APART, Clocks, was_set_back};

/// Returns true if a sync of `side` would find nothing to do whatever the other side's case holds: all items in the lists are the
/// connector's own, or have been copied, or are not to be copied. A doubtful item counts as new, since a complete sync then decides.
#[must_use]
pub fn has_nothing_new(side: Side, mapping: &CaseMapping, content: &Content, rules: &Rules) -> bool {
    let target = side.other();
    let forgotten = mapping.state.forgotten_until[side];
    let comment = |comment: &Comment| {
        (comment.created_at.is_some() && comment.created_at < forgotten)
            || mapping.ledger.wrote(side, ItemKind::Comment, &comment.id)
            || rules.keeps_comment(side, comment)
            // One that was copied under its other ID is new once: the sync records its own.
            || mapping.ledger.has_whole_comment(target, &comment.id)
    };
    let attachment = |file: &Attachment| {
        (file.created_at.is_some() && file.created_at < forgotten)
            || mapping.ledger.wrote(side, ItemKind::Attachment, &file.id)
            || rules.keeps_file(side, file, &content.comments)
            || mapping.ledger.has_copy(target, &Source::Attachment { id: file.id.clone() })
    };
    // It need not be a comment that is carried.
    let justifies = side == Side::Company
        && rules
            .escalation
            .as_ref()
            .is_some_and(|rule| rule.has_new_justification(&mapping.state.escalation, &content.comments));
    !justifies && content.comments.iter().all(comment) && content.attachments.iter().all(attachment)
}

/// Returns true if the stored state of a pair leaves nothing to a sync of `side` but new content of that side: no change of the other side,
/// no write without an outcome, no refusal, no notice and no merge base is outstanding, and no clock was set (`R36`: clock skew).
#[must_use]
pub fn is_at_rest(mapping: &CaseMapping, side: Side, clocks: Clocks) -> bool {
    let state = &mapping.state;
    let other_is_clean = mapping.dirty[side.other()].is_none();
    let of_sides = Side::BOTH.into_iter().all(|side| {
        let latest = clocks.of(side) + CLOCKS_APART;
        mapping.stored_synced_at(side).is_some()
            && state.missing[side].is_none()
            && state.read_only[side].is_none()
            && state.told_priority[side].is_none()
            && state.unheld_priority[side].is_none()
            && !state.was_read_after(side, latest)
            && !was_set_back(mapping, side, clocks, CLOCKS_APART)
    });
    of_sides
        && other_is_clean
        && mapping.is_linked()
        && mapping.lease.is_none()
        && mapping.pending.is_empty()
        && mapping.pending_creation.is_none()
        && mapping.pending_status.is_none()
        && !state.turn.awaits_outcome()
        && !state.turn.fresh
        && !state.titles.is_outstanding()
        && !state.shown.is_outstanding(clocks.now)
        && !mapping.relinking
        && !mapping.paused
        && mapping.gone.is_none()
        && mapping.last_error.is_none()
        && state.agreed_closed.is_some()
        && state.refusals.is_empty()
        && state.subscribers_sent_at.is_none()
        && state.refused_subscribers.is_none()
        && !state.escalation.is_outstanding()
        && !state.edits.is_due(clocks.now)
        && state.conflict.is_none()
        && !state.gone_told
}
