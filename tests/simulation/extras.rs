//! Features besides those of the desk: what is shown of a Google case, notes about edits, replies by e-mail. Only some histories have them.

use casebridge::entities::CaseMapping;

use crate::desk::{Act, Acts, below, happen};
use crate::desk_check;
use crate::edits;
use crate::history::{
    Company, Deed, ExtraDeed, Extras, Google, Ms, Part, Place, Refused, Rewrite, Step, What, Words,
};
use crate::model::Card;
use crate::shown;
use crate::world::World;
use casebridge_testkit::dice::Dice;

pub(crate) fn features(dice: &mut Dice) -> Extras {
    if !dice.percent(20) {
        return Extras::OFF;
    }
    let on = dice.range(1, 31);
    let has = |bit: i64| on & bit != 0;
    let place = dice.pick(&[Place::Field, Place::List]);
    Extras {
        link: Some(place).filter(|_| has(1)),
        label: has(2),
        marks: has(4),
        moves: dice.percent(50),
        edits: has(8),
        mail: has(16),
    }
}

/// People at both desks use the features, while answers are lost and processes die.
pub(crate) fn deeds(steps: &mut Vec<Step>, cases: usize, end: Ms, on: Extras, dice: &mut Dice) {
    let acts: [(bool, Act); 5] = [
        (on.link.is_some(), unlink),
        (on.label, escalate),
        (on.marks, write),
        (on.edits, rewrite),
        (on.mail, answer),
    ];
    for _ in 0..dice.range(2, 4) {
        for (is_on, act) in acts {
            if is_on {
                // Soon after something else, so that it comes while the connector is at work.
                let at = steps[dice.index(steps.len())].at + dice.range(0, 90_000);
                let case = dice.index(cases);
                let acts = act(case, at, dice);
                happen(steps, (case, at, end), acts, dice);
            }
        }
    }
}

fn person(at: Ms, deed: ExtraDeed) -> (Ms, What) {
    (at, What::Person(Deed::Extra(deed)))
}

/// The title changes, or the case is closed; and somebody removes the link, or puts another in its place.
fn unlink(case: usize, at: Ms, dice: &mut Dice) -> Acts {
    let deed = match dice.below(3) {
        0 => Deed::Close { case, side: Google },
        _ => Deed::Retitle { case, side: Google, long: dice.percent(25) },
    };
    let mut whats = vec![(at, What::Person(deed))];
    if dice.percent(40) {
        let soon = at + dice.range(-120_000, 300_000);
        whats.push(person(soon, ExtraDeed::Unlink { case, other: dice.percent(50) }));
    }
    Acts { whats, written: at, part: Part::CompanyApi, refused: Some(Refused::RemoteLink) }
}

fn escalate(case: usize, at: Ms, dice: &mut Dice) -> Acts {
    let mut whats = vec![person(at, ExtraDeed::Escalate { case, on: true })];
    let mut written = at;
    if dice.percent(70) {
        let later = at + dice.range(1_000, 900_000);
        whats.push(person(later, ExtraDeed::Escalate { case, on: false }));
        written = dice.pick(&[at, later]);
        if dice.percent(30) {
            whats.push(person(later + dice.range(1_000, 300_000), ExtraDeed::Escalate { case, on: true }));
        }
    }
    for _ in 0..dice.range(0, 2) {
        let about = at + dice.range(-120_000, 900_000);
        whats.push(person(about, ExtraDeed::Label { case, on: dice.percent(50) }));
    }
    Acts { whats, written, part: Part::CompanyApi, refused: Some(Refused::Label) }
}

fn comment(case: usize, words: Words) -> What {
    What::Person(Deed::Comment { case, side: Company, words, internal: false })
}

/// Comments of the company case, of which some are deleted.
fn write(case: usize, at: Ms, dice: &mut Dice) -> Acts {
    let words = if dice.percent(25) { Words::Long } else { Words::Short };
    let mut whats = vec![(at, comment(case, words))];
    if dice.percent(30) {
        let nth = 2 * dice.index(3);
        whats.push((at + dice.range(0, 120_000), What::Person(Deed::DeleteOwn { case, side: Company, nth })));
    }
    let part = dice.pick(&[Part::GoogleApi, Part::CompanyApi, Part::CompanyApi]);
    Acts { whats, written: at, part, refused: Some(Refused::Mark).filter(|_| part == Part::CompanyApi) }
}

fn rewrite(case: usize, at: Ms, dice: &mut Dice) -> Acts {
    let mut whats = Vec::new();
    if dice.percent(60) {
        let words = if dice.percent(30) { Words::Long } else { Words::Short };
        whats.push((at - dice.range(1_000, 400_000), comment(case, words)));
    }
    let mut next = at;
    for _ in 0..dice.range(1, 4) {
        let words = match dice.below(10) {
            0 => Words::Odd,
            1 => Words::Quotation(below(6, dice)),
            2..5 => Words::Long,
            _ => Words::Short,
        };
        let how = match dice.below(10) {
            0..2 => Rewrite::Back,
            2 => Rewrite::Layout,
            _ => Rewrite::Anew(words),
        };
        let nth = if dice.percent(70) { 0 } else { dice.index(3) };
        whats.push(person(next, ExtraDeed::Rewrite { case, nth, how }));
        next += dice.range(1_000, 700_000);
    }
    Acts {
        whats,
        written: at,
        part: Part::GoogleApi,
        refused: Some(Refused::Comments).filter(|_| dice.percent(30)),
    }
}

fn answer(case: usize, at: Ms, dice: &mut Dice) -> Acts {
    let words = match dice.below(10) {
        0 => Words::Odd,
        1 => Words::Quotation(below(6, dice)),
        2..4 => Words::Long,
        _ => Words::Short,
    };
    let mut whats = vec![person(at, ExtraDeed::Mail { case, words })];
    if dice.percent(70) {
        let later = at + if dice.percent(60) { dice.range(0, 300_000) } else { dice.range(0, 3_600_000) };
        whats.push(person(later, ExtraDeed::Become { case, nth: dice.index(2) }));
    }
    Acts { whats, written: at, part: Part::CompanyApi, refused: None }
}

/// Returns the name that a deed is counted by.
pub(crate) fn name(deed: ExtraDeed) -> &'static str {
    match deed {
        ExtraDeed::Escalate { on: true, .. } => "escalate at google",
        ExtraDeed::Escalate { .. } => "end an escalation at google",
        ExtraDeed::Label { on: true, .. } => "add the label for escalated cases",
        ExtraDeed::Label { .. } => "remove the label for escalated cases",
        ExtraDeed::Unlink { other: false, .. } => "remove a link",
        ExtraDeed::Unlink { .. } => "put another link there",
        ExtraDeed::Rewrite { how: Rewrite::Anew(_), .. } => "edit a newest comment",
        ExtraDeed::Rewrite { how: Rewrite::Back, .. } => "take an edit back",
        ExtraDeed::Rewrite { .. } => "edit a layout",
        ExtraDeed::Mail { .. } => "answer by e-mail",
        ExtraDeed::Become { .. } => "show an e-mail as a comment",
    }
}

impl World {
    pub(crate) fn act_besides(&mut self, deed: ExtraDeed, dice: &mut Dice) -> Option<()> {
        let on = self.setting.extras;
        match deed {
            ExtraDeed::Escalate { case, on: escalates } if on.label => self.escalate_by_hand(case, escalates),
            ExtraDeed::Label { case, on: adds } if on.label => self.label_by_hand(case, adds),
            ExtraDeed::Unlink { case, other } if on.link.is_some() => self.unlink_by_hand(case, other),
            ExtraDeed::Rewrite { case, nth, how } if on.edits => self.edit_again(case, nth, how, dice),
            ExtraDeed::Mail { case, words } if on.mail => self.answer_by_mail(case, words, dice),
            ExtraDeed::Become { case, nth } if on.mail => self.become_comment(case, nth),
            ExtraDeed::Escalate { .. }
            | ExtraDeed::Label { .. }
            | ExtraDeed::Unlink { .. }
            | ExtraDeed::Rewrite { .. }
            | ExtraDeed::Mail { .. }
            | ExtraDeed::Become { .. } => None,
        }
    }
}

/// Returns something that is not yet as it must be in the end, on a pair that is flagged and not paused.
pub(crate) fn disagreement(
    world: &World,
    google: &Card,
    company: &Card,
    mapping: &CaseMapping,
) -> Option<String> {
    // Of a pair that went on with another company case it is not known what stood there before.
    let is_merged = world.systems[Company].cards.values().any(|card| card.merged_into.is_some());
    if desk_check::is_held(google, company, mapping) || is_merged {
        return None;
    }
    shown::disagreement(world, google, company, mapping)
        .or_else(|| edits::disagreement(world, google, company, mapping))
}
