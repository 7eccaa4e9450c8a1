//! Stored state of the connector: one [`CaseMapping`] for each pair of cases, and one [`Global`].
//!
//! Plain values: no I/O, no clock, no store. The documented properties keep their documented names.

mod case_mapping;
mod edits;
mod escalation;
mod global;
mod google_placement;
mod ledger;
mod names;
mod next_try;
mod pair_state;
mod priority;
mod shown;
mod side;
mod title_words;
mod titles;
mod tolerance;
mod turn;

pub use case_mapping::{CaseMapping, Dirty, FirstSeen, Lease, PendingCreation, PendingStatus};
pub use edits::{Edits, KnownText, NOTE_PAUSE, NoteBegun, TextDigest};
pub use escalation::{Escalation, EscalationProblem, EscalationReason, Justification};
pub use global::{Canary, Global, IndexLag, PollMemory};
pub use google_placement::GooglePlacement;
pub use ledger::{Entry, ItemKind, Ledger, LedgerPage, Notice, PageChanges, Pending, Source};
pub use names::{CompanyCaseId, GoogleCaseName, MappingId, NameError};
pub use pair_state::{
    Conflict, ConflictCause, Explained, Failing, KnownCase, Missing, Order, PairState, ReadOnly, Refusable,
    Refusal, RefusedSubscribers, Skipped, Subscribed,
};
pub use priority::{Priority, PriorityReading, PrioritySet};
pub use shown::{Shown, ShownValue, UnansweredValue};
pub use side::{Side, Sides};
pub use title_words::TitleWords;
pub use titles::{CreatedTitles, RefusedTitle, TitleBegun, TitleDigest, Titles};
pub use tolerance::{Tolerance, ToleranceTable};
pub use turn::{GoogleState, StatusBegun, TextBegun, Turn};
