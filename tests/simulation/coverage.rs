//! How often each thing happened, over many histories: a generator that no longer does something must be noticed.

use std::collections::BTreeMap;
use std::fmt;

/// Counts by group and by what happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Coverage(BTreeMap<(&'static str, &'static str), u64>);

impl Coverage {
    pub(crate) fn count(&mut self, group: &'static str, what: &'static str) {
        *self.0.entry((group, what)).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (key, count) in &other.0 {
            *self.0.entry(*key).or_default() += count;
        }
    }

    /// What must happen in a few hundred histories, and did not.
    pub(crate) fn missing(&self) -> Vec<String> {
        let all = EXPECTED.iter().flat_map(|(group, names)| names.iter().map(|name| (*group, *name)));
        all.filter(|key| !self.0.contains_key(key)).map(|(group, what)| format!("{group}: {what}")).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut group = "";
        for ((of, what), count) in &self.0 {
            if *of == group {
                f.write_str(",")?;
            } else {
                write!(f, "{}{of}:", if group.is_empty() { "" } else { "\n" })?;
                group = of;
            }
            write!(f, " {what} {count}")?;
        }
        Ok(())
    }
}

/// Everything that the generator is there for, and what the core does about it.
const EXPECTED: &[(&str, &[&str])] = &[
    (
        "people",
        &[
            "create at google",
            "create at company",
            "create without the flag",
            "comment at google",
            "comment at company",
            "comment internally",
            "quote the connector",
            "write more than fits",
            "write oddly",
            "attach at google",
            "attach at company",
            "attach a namesake",
            "attach an odd name",
            "attach too much",
            "attach a forbidden type",
            "prioritise at google",
            "prioritise at company",
            "retitle at google",
            "retitle at company",
            "close at google",
            "close at company",
            "reopen at google",
            "reopen at company",
            "flag",
            "unflag",
            "delete a copy",
            "delete their own",
            "delete a case",
            "edit a comment",
            "clone a case",
            "rename themselves",
            "touch",
            "cancel",
            "archive",
            "close as a duplicate",
            "merge a case",
            "blur a priority",
            "name a stranger's case",
            "guess a case",
            "clear a name",
            "mirror another desk",
            "mirror another desk without its address",
            "write what is refused",
            "attach what is refused",
            "change google's state",
            "set a status",
            "raise a case",
            "raise a case for no reason",
            "lower a case",
            "justify an escalation",
            "end an escalation",
            "watch a case",
            "watch a case no more",
            "subscribe at google",
            "unsubscribe at google",
            "label a case",
            "escalate at google",
            "end an escalation at google",
            "add the label for escalated cases",
            "remove the label for escalated cases",
            "remove a link",
            "put another link there",
            "edit a newest comment",
            "take an edit back",
            "edit a layout",
            "answer by e-mail",
            "show an e-mail as a comment",
            "show an e-mail as a comment that was carried",
            "ask for a sync",
            "ask for a dry run",
        ],
    ),
    (
        "calls",
        &[
            "answered",
            "not sent",
            "unanswered, not done",
            "unanswered, done",
            "late",
            "slow",
            "429",
            "unreadable",
            "unauthorized",
            "download broken off",
            "stale list",
            "late search",
            "store down",
            "queue down",
            "identify",
            "any case",
            "details",
            "found in its place",
        ],
    ),
    (
        "lies",
        &[
            "an answer to somebody anonymous",
            "a search that hides a case",
            "a search behind by hours",
            "a case vanishes",
            "a case that is not found",
            "a listing without markers",
            "a file that is not there",
            "a file that is blocked",
            "a page in place of a file",
            "a write that is refused for good",
            "a case takes nothing",
            "the host's clock jumps",
            "the host's clock is set",
            "a system's clock jumps",
            "a system's clock is set",
        ],
    ),
    (
        "processes",
        &[
            "die idle",
            "die at work",
            "die holding a lease",
            "are stopped",
            "pass a deadline",
            "stop for hours",
        ],
    ),
    ("push messages", &["name a case", "name a comment", "name a case that does not exist", "name nothing"]),
    ("push messages are", &["queued", "coalesced", "own", "left", "failed"]),
    ("deliveries", &["on time", "late", "twice", "repeated", "of a used name", "overtaken by a later task"]),
    ("poll-google", &["done", "failed"]),
    ("poll-company", &["done", "failed"]),
    ("sync-google-case", &["done", "failed", "abandoned"]),
    ("sync-company-case", &["done", "failed", "abandoned"]),
    ("detect-outages", &["done", "failed", "outage"]),
    ("cleanup", &["done"]),
    (
        "connector",
        &[
            "creates at google",
            "creates at company",
            "copies a comment to google",
            "copies a comment to company",
            "copies a part",
            "copies a description's part",
            "uploads to google",
            "uploads to company",
            "explains a file",
            "says syncing",
            "says outage",
            "says resumed",
            "says cannot reopen",
            "says gone",
            "says back",
            "says conflict",
            "says left open",
            "says merged",
            "says given up",
            "says read only",
            "says not escalated",
            "explains a comment",
            "prioritises at google",
            "prioritises at company",
            "retitles at google",
            "retitles at company",
            "sets a status",
            "shows google's state",
            "escalates",
            "creates in a place at google",
            "creates in a place at company",
            "sets subscribers",
            "shows a link",
            "finds a link of somebody else",
            "adds a label",
            "removes a label",
            "marks a comment",
            "finds a comment gone",
            "notes an edit",
            "copies an e-mail",
            "closes at google",
            "closes at company",
            "reopens at company",
            "links",
            "is refused a comment",
        ],
    ),
    (
        "mappings",
        &[
            "made",
            "found again",
            "in conflict",
            "paused",
            "resumed",
            "gone",
            "back",
            "missing",
            "found after all",
            "given up",
            "read-only",
            "without a priority it cannot hold",
            "in conflict with its claim",
            "in conflict no longer",
            "handed over",
            "resolved",
            "opened again",
            "relinking",
            "with a write pending",
            "with a creation pending",
            "with a status pending",
            "with an escalation pending",
            "with subscribers pending",
            "deleted",
        ],
    ),
];
