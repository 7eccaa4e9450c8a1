//! Escalation of a Google case for its company case, and the memory of a pair about it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Reason of an escalation, by its name in the Cloud Support API (discovery document, revision 20260927, `Escalation.reason`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EscalationReason {
    /// The issue takes too long to resolve.
    ResolutionTime,
    /// Support lacks technical expertise for the issue.
    TechnicalExpertise,
    /// The issue has a significant impact on the business.
    BusinessImpact,
}

impl EscalationReason {
    /// All reasons.
    pub const ALL: [Self; 3] = [Self::ResolutionTime, Self::TechnicalExpertise, Self::BusinessImpact];

    /// Returns the name in the API and in the configuration, such as `BUSINESS_IMPACT`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ResolutionTime => "RESOLUTION_TIME",
            Self::TechnicalExpertise => "TECHNICAL_EXPERTISE",
            Self::BusinessImpact => "BUSINESS_IMPACT",
        }
    }
}

/// Problem because of which a raised case is not escalated. The company case is told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EscalationProblem {
    /// No justification was found.
    NoJustification,
    /// The field holds a word that stands for no reason.
    UnknownWord(String),
    /// Google refuses the escalation. Holds Google's message.
    Refused(String),
    /// The pair was found again: whether this raise was escalated before is not known.
    NotKnown,
}

/// Text by which a person justifies an escalation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Justification {
    /// ID of the comment on the company case.
    pub comment: String,
    /// Text without the prefix.
    pub text: String,
    /// Time of the comment, in the company system's own time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_at: Option<DateTime<Utc>>,
}

/// Memory of a pair about the escalation of its Google case. It begins anew each time the company case is read as not raised, except for
/// the comment that was used.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Escalation {
    /// True while the company case is raised.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub raised: bool,
    /// True if Google has escalated the case since it was raised, or has refused to: it is not asked again for this raise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub settled: bool,
    /// Latest time at which the request may have been sent, by our clock, if its outcome is not known (`R13`: unknown write outcome).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<DateTime<Utc>>,
    /// Newest justification that was read and not used yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub justification: Option<Justification>,
    /// ID of the comment with the justification that was used last. Neither it nor an older one justifies a second escalation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<String>,
    /// Time of that comment, in the company system's own time: a person may delete it. `None` for a record of an earlier version, and if the
    /// comment has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_until: Option<DateTime<Utc>>,
    /// Problem that the company case has, or is to get, a notice of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<EscalationProblem>,
    /// True if the company case has that notice.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub told: bool,
}

impl Escalation {
    /// Returns the memory while the case is not raised.
    #[must_use]
    pub fn lowered(&self) -> Self {
        Self {
            used: self.used.clone(),
            used_until: self.used_until,
            justification: self.justification.clone(),
            ..Self::default()
        }
    }

    /// Returns true if a request, its outcome, or a notice is outstanding.
    #[must_use]
    pub const fn is_outstanding(&self) -> bool {
        self.sent_at.is_some() || self.is_to_be_sent() || (self.problem.is_some() && !self.told)
    }

    /// True if nothing is known that keeps the request from being sent.
    const fn is_to_be_sent(&self) -> bool {
        self.raised && !self.settled && self.problem.is_none()
    }

    /// Records that nothing more is to be done for this raise: Google has escalated the case, or has refused to.
    pub fn settle(&mut self) {
        self.settled = true;
        self.sent_at = None;
        self.use_justification();
    }

    /// Records that the justification justifies no other escalation.
    pub fn use_justification(&mut self) {
        if let Some(justification) = self.justification.take() {
            self.used = Some(justification.comment);
            self.used_until = self.used_until.max(justification.written_at);
        }
    }

    /// Returns the memory for a configuration that escalates nothing any more: nothing is outstanding.
    #[must_use]
    pub fn switched_off(&self) -> Self {
        Self {
            sent_at: None,
            told: self.problem.is_some(),
            raised: self.raised && !self.is_to_be_sent(),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_with_fewer_fields_are_read_and_an_empty_one_takes_no_room() {
        assert_eq!(serde_json::from_str::<Escalation>("{}").unwrap(), Escalation::default());
        assert_eq!(serde_json::to_string(&Escalation::default()).unwrap(), "{}");
        let full = Escalation {
            raised: true,
            settled: true,
            sent_at: Some(DateTime::UNIX_EPOCH),
            justification: Some(Justification {
                comment: "7".to_owned(),
                text: "Down".to_owned(),
                written_at: Some(DateTime::UNIX_EPOCH),
            }),
            used: Some("3".to_owned()),
            used_until: Some(DateTime::UNIX_EPOCH),
            problem: Some(EscalationProblem::UnknownWord("perhaps".to_owned())),
            told: true,
        };
        let again: Escalation = serde_json::from_value(serde_json::to_value(&full).unwrap()).unwrap();
        assert_eq!(again, full);
        for reason in EscalationReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.name());
        }
    }
}
