//! The pure planner: Google's side, the company's side and the mapping in, a list of actions out (`R11`: plan, then act).
//!
//! No I/O and no clock: the same input gives the same plan. [`plan`](fn@plan) compares a linked pair, [`counterpart_of`] builds the
//! counterpart of a single case. The tasks apply the plan.

mod action;
mod attachment_matching;
mod company_route;
mod edits;
mod escalation;
mod merge;
mod plan;
mod recorded;
mod route;
mod shown;
mod snapshot;
mod subscribers;
pub mod texts;
mod title;
mod turn;

pub use action::{Action, Blocked, CommentToWrite};
pub use attachment_matching::{KnownDifferent, Lookalike, lookalikes};
pub use company_route::{CompanyConditions, CompanyRoute, Placed, Placing, RoutedCompany, parse_parent};
pub use edits::{EditedComments, has_new_edit, reads_back_to};
pub use escalation::{EscalationRule, EscalationSignal};
pub use merge::{Priorities, PriorityMerge, merge_priority};
pub use plan::{
    CommentsToGoogle, Counterpart, Pair, Plan, Remaining, Rules, Switches, Totals, Wait, counterpart_of,
    held_code, left_on, plan,
};
pub use recorded::{has_nothing_new, is_at_rest};
pub use route::{AnyRoute, Conditions, Destination, Pattern, Patterns, Route, RouteTable, Routed, Subject};
pub use shown::ShownRule;
pub use snapshot::{CLOCKS_APART, Clocks, Snapshot, horizons, was_set_back};
pub use subscribers::{SubscriberChange, SubscriberMerge, allowed_addresses, is_address, merge_subscribers};
pub use turn::{StatusRule, StatusTable};
