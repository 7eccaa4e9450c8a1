//! From a seed to a history.

use crate::desk;
use crate::extras;
use crate::history::{
    About, Blur, Cleanup, Clock, Closing, Company, Deed, DetectOutages, FileKind, Google, History, Lie, Ms,
    Part, PollCompany, PollGoogle, Refused, Setting, Side, Step, Traits, Trouble, What, Withheld, Words,
};
use casebridge_testkit::dice::Dice;

pub(crate) const MINUTE: Ms = 60_000;
pub(crate) const DAY: Ms = 86_400_000;

/// The history that a seed stands for.
pub(crate) fn history(seed: u64) -> History {
    let mut dice = Dice::of(&[seed, 1]);
    let setting = setting(seed, &mut dice);
    let mut steps = Vec::new();
    let mut at = 0;
    // In some, the systems are polite and wrong.
    let lying = dice.percent(40);
    // Most histories are one stretch of work; in some, hours or weeks pass between two.
    let stretches = if dice.percent(20) { 2 } else { 1 };
    let mut cases = 0;
    for _ in 0..stretches {
        // Some outages last for hours: then the polls come less often, to keep the history short.
        let long = if lying { 25 } else { 4 };
        let (minutes, pace) =
            if dice.percent(long) { (dice.range(120, 480), 5) } else { (dice.range(4, 25), 1) };
        let end = at + minutes * MINUTE;
        stretch(&mut steps, &mut cases, (at, end, pace * MINUTE), &mut dice);
        if lying {
            lies(&mut steps, cases, (at, end), &mut dice);
        }
        at = match dice.below(3) {
            0 => end + dice.range(10, 300) * MINUTE,
            1 => end + dice.range(1, 3) * DAY,
            _ => {
                // Cleanup comes while people and polls are at work again.
                let at = end + 31 * DAY + dice.range(-1, 8) * MINUTE;
                steps.push(Step { at, what: What::Cron(Cleanup), salt: dice.next() });
                end + 31 * DAY
            }
        };
    }
    // Its own dice, so that all else of a history is as it is without push.
    let mut dice = Dice::of(&[seed, 4]);
    if dice.percent(25) {
        hints(&mut steps, cases, &mut dice);
    }
    let mut dice = Dice::of(&[seed, 5]);
    if dice.percent(30) {
        titles(&mut steps, cases, at, &mut dice);
    }
    let mut dice = Dice::of(&[seed, 6]);
    desk::deeds(&mut steps, cases, at, setting.desk, &mut dice);
    let mut dice = Dice::of(&[seed, 10]);
    extras::deeds(&mut steps, cases, at, setting.extras, &mut dice);
    steps.sort_by_key(|step| step.at);
    History { setting, steps }
}

/// People change titles, and some systems refuse that.
fn titles(steps: &mut Vec<Step>, cases: usize, end: Ms, dice: &mut Dice) {
    for _ in 0..dice.range(1, 5) {
        // Like the other deeds: soon after something else, so that it comes while the connector is at work.
        let after = dice.index(steps.len());
        let at = (steps[after].at + dice.range(0, 90_000)).min(end);
        let (case, side) = (dice.index(cases), dice.pick(&Side::BOTH));
        let what = if dice.percent(10) {
            let minutes = Some(dice.range(1, 300)).filter(|_| dice.percent(50));
            What::Lie(Lie::Refuse { case, side, what: Refused::Title, minutes })
        } else {
            What::Person(Deed::Retitle { case, side, long: dice.percent(25) })
        };
        steps.push(Step { at, what, salt: dice.next() });
    }
}

/// The systems tell by push what people do: soon, late, twice, never, before it can be read, or of another case.
fn hints(steps: &mut Vec<Step>, cases: usize, dice: &mut Dice) {
    let deeds: Vec<(Ms, Deed)> = steps
        .iter()
        .filter_map(|step| match step.what {
            What::Person(deed) => Some((step.at, deed)),
            _ => None,
        })
        .collect();
    let mut made = 0;
    for (at, deed) in deeds {
        let (case, side) = match deed {
            Deed::Create { side, .. } => {
                made += 1;
                (made - 1, side)
            }
            Deed::Comment { case, side, .. }
            | Deed::Attach { case, side, .. }
            | Deed::Prioritise { case, side, .. }
            | Deed::Close { case, side }
            | Deed::Reopen { case, side }
            | Deed::Touch { case, side }
            | Deed::DeleteCase { case, side } => (case, side),
            Deed::Flag { case }
            | Deed::Unflag { case }
            | Deed::Edit { case, .. }
            | Deed::CloseAs { case, .. } => (case, Company),
            _ => (dice.index(cases), dice.pick(&Side::BOTH)),
        };
        let about = match dice.below(10) {
            0 => About::Case(dice.index(cases)),
            1 => dice.pick(&[About::Unknown, About::Nothing]),
            2 | 3 => About::Comment { case, nth: dice.index(4) },
            _ => About::Case(case),
        };
        let soon = dice.range(0, 1_500);
        let times: &[Ms] = match dice.below(10) {
            0 | 1 => &[],
            2 | 3 => &[dice.range(2_000, 10 * MINUTE)],
            4 | 5 => &[soon, soon + dice.range(0, 3_000)],
            6 => &[-soon],
            _ => &[soon],
        };
        for after in times {
            let what = What::Hint { side, about };
            steps.push(Step { at: (at + after).max(0), what, salt: dice.next() });
        }
    }
}

fn traits(side: Side, dice: &mut Dice) -> Traits {
    let lag = *[0, 0, 20, 60].get(dice.index(4)).unwrap_or(&0);
    let stale = *[0, 0, 5, 20].get(dice.index(4)).unwrap_or(&0);
    Traits {
        reopen: side == Company && dice.percent(70),
        comment_when_closed: dice.percent(60),
        knows_connector: side == Company && dice.percent(60),
        settles: dice.range(45, 120),
        lag,
        stale,
        resolution: *[0, 1, 60].get(dice.index(3)).unwrap_or(&0),
        skew: skew(dice),
        limit: dice.pick(&[400, 700, 2_000]),
        control_characters: dice.percent(50),
        renames_files: dice.percent(50),
        idempotent: side == Company && dice.percent(20),
        tells_limit: dice.percent(50),
        four_priorities: side == Company && dice.percent(30),
        tells_identity: dice.percent(40),
        // Google's API never tells the connector its own name.
        knows_creator: side == Company,
        addresses: side == Company && dice.percent(60),
        scopes: if side == Company { dice.pick(&[0, 1, 2, 2]) } else { 0 },
        unholdable: dice.percent(12).then(|| dice.pick(&[0, 1])),
        default_priority: dice.percent(12),
    }
}

/// Most clocks are right, or nearly so; some are minutes off, and a few are hours off.
fn skew(dice: &mut Dice) -> i64 {
    match dice.below(100) {
        0..45 => 0,
        45..78 => dice.range(-55, 55),
        78..90 => dice.range(-40, 40) * 60,
        _ => dice.range(-13, 13) * 3_600,
    }
}

fn setting(seed: u64, dice: &mut Dice) -> Setting {
    let deadline = dice.range(60, 240);
    Setting {
        seed,
        google: traits(Google, dice),
        company: traits(Company, dice),
        comments: dice.percent(95),
        attachments: dice.percent(90),
        priority: dice.percent(95),
        status: dice.percent(95),
        carry_internal: dice.percent(15),
        internal_copies: dice.percent(30),
        late: if dice.percent(40) { 20 } else { 0 },
        twice: if dice.percent(40) { 25 } else { 0 },
        clock_offset: if dice.percent(40) { dice.range(-3_000, 3_000) } else { 0 },
        deadline,
        lease: deadline + 60,
        host: if dice.percent(15) { skew(dice) } else { 0 },
        missing_grace: dice.pick(&[20, 60, 60]),
        give_up_after: dice.pick(&[60, 180, 720]),
        desk: desk::features(&mut Dice::of(&[seed, 7])),
        // These dice leave the seeds without them that `lies.rs` keeps.
        extras: extras::features(&mut Dice::of(&[seed, 14])),
    }
}

/// What systems hide, forget and refuse without a word, people who name what is not theirs, and clocks that are set.
fn lies(steps: &mut Vec<Step>, cases: usize, (from, to): (Ms, Ms), dice: &mut Dice) {
    for _ in 0..dice.range(1, 4) {
        let at = dice.range(from, to);
        let what = lie(cases, (to - from) / MINUTE, dice);
        steps.push(Step { at, what, salt: dice.next() });
    }
}

fn lie(cases: usize, length: i64, dice: &mut Dice) -> What {
    let case = dice.index(cases);
    let side = dice.pick(&Side::BOTH);
    // Some lies are over before anybody asks; others outlive the stretch.
    let minutes = dice.range(1, (length * 2).max(30));
    let for_ever = |dice: &mut Dice| Some(minutes).filter(|_| dice.percent(55));
    let trouble =
        |side: Side, trouble: Trouble| What::Trouble { part: Part::of(side), trouble, seconds: minutes * 60 };
    match dice.below(100) {
        0..12 => trouble(side, Trouble::Anonymous),
        12..26 => {
            let scope =
                if side == Company && dice.percent(60) { Some(u8::from(dice.percent(50))) } else { None };
            // Where a new case would be created, only the loss of all shows.
            trouble(side, Trouble::Blind { scope, creates: scope.is_none() && dice.percent(50) })
        }
        26..38 => What::Lie(Lie::LateIndex { case, side, minutes }),
        38..52 => What::Lie(Lie::Vanish { case, side, minutes }),
        52..60 => {
            let how = dice.pick(&[Withheld::NotThere, Withheld::Blocked, Withheld::Page]);
            What::Lie(Lie::Withhold { case, side, nth: dice.index(2), how, minutes: for_ever(dice) })
        }
        60..71 => {
            let what = dice.pick(&[
                Refused::Comments,
                Refused::Files,
                Refused::Priority,
                Refused::Close,
                Refused::Reopen,
                Refused::Link,
                Refused::Everything,
            ]);
            What::Lie(Lie::Refuse { case, side, what, minutes: for_ever(dice) })
        }
        71..77 => trouble(Company, Trouble::Unmarked),
        77..88 => {
            let whose = dice.pick(&[Clock::Host, Clock::Host, Clock::Of(Google), Clock::Of(Company)]);
            let unit = dice.pick(&[60, 60, 3_600, 86_400, 86_400 * 365]);
            let ahead = dice.range(-10, 10) * unit + dice.range(-30, 30);
            // Whoever is years off is set right again.
            let seconds = (unit > 3_600 || dice.percent(60)).then_some(minutes * 60);
            What::Clock { whose, ahead, seconds }
        }
        88..92 => What::Person(Deed::Claim { case, ahead: Some(u8::try_from(dice.below(3)).unwrap_or(0)) }),
        92..94 => What::Person(Deed::Claim { case, ahead: None }),
        94..96 => What::Person(Deed::Unclaim),
        _ => What::Person(Deed::Foreign { case, address: dice.percent(60) }),
    }
}

/// A stretch of work: cron (every `pace`), people and trouble between two moments.
fn stretch(steps: &mut Vec<Step>, cases: &mut usize, (from, to, pace): (Ms, Ms, Ms), dice: &mut Dice) {
    let mut add = |at: Ms, what: What, dice: &mut Dice| steps.push(Step { at, what, salt: dice.next() });
    let mut at = from;
    while at < to {
        for kind in [PollGoogle, PollCompany] {
            if dice.percent(92) {
                add(at + dice.range(0, 2_000), What::Cron(kind), dice);
            }
        }
        if (at - from) % (5 * MINUTE) == 0 && dice.percent(90) {
            add(at + dice.range(0, 5_000), What::Cron(DetectOutages), dice);
        }
        at += pace;
    }
    if dice.percent(10) {
        add(dice.range(from, to), What::Cron(Cleanup), dice);
    }
    let moment = |dice: &mut Dice| dice.range(from, to);
    // The cases, early on.
    let new = if *cases == 0 { dice.range(1, 3) } else { dice.range(0, 1) };
    for _ in 0..new {
        let deed = Deed::Create {
            side: dice.pick(&Side::BOTH),
            flagged: dice.percent(85),
            priority: u8::try_from(dice.below(5)).unwrap_or(0),
            words: words(dice),
        };
        let early = dice.range(from, from + (to - from) / 3);
        add(early, What::Person(deed), dice);
        if dice.percent(10) {
            // Somebody cannot wait for the poll.
            let side = dice.pick(&Side::BOTH);
            add(early + dice.range(0, 70_000), What::ByHand { case: *cases, side, dry_run: false }, dice);
        }
        *cases += 1;
    }
    for _ in 0..dice.range(2, 22) {
        let at = moment(dice);
        let deed = deed(*cases, dice);
        add(at, What::Person(deed), dice);
        // Some things happen in quick succession.
        if dice.percent(15) {
            let soon = at + dice.range(0, 3_000);
            let next = self::deed(*cases, dice);
            add(soon, What::Person(next), dice);
        }
    }
    if dice.percent(70) {
        for _ in 0..dice.range(1, 4) {
            let what = trouble((to - from) / 1000, dice);
            add(moment(dice), what, dice);
        }
    }
    if dice.percent(60) {
        for _ in 0..dice.range(1, 5) {
            let instance = dice.index(2);
            let awaits = u32::try_from(dice.range(1, 60)).unwrap_or(1);
            add(moment(dice), What::Crash { instance, awaits }, dice);
        }
    }
    if dice.percent(15) {
        let instance = dice.index(2);
        add(moment(dice), What::Stop { instance }, dice);
    }
    if dice.percent(25) {
        for _ in 0..dice.range(1, 3) {
            let what = What::ByHand {
                case: dice.index(*cases),
                side: dice.pick(&Side::BOTH),
                dry_run: dice.percent(50),
            };
            add(moment(dice), what, dice);
        }
    }
}

fn words(dice: &mut Dice) -> Words {
    match dice.below(100) {
        0..70 => Words::Short,
        70..82 => Words::Long,
        82..92 => Words::Quotation(u8::try_from(dice.below(6)).unwrap_or(0)),
        _ => Words::Odd,
    }
}

fn deed(cases: usize, dice: &mut Dice) -> Deed {
    let case = dice.index(cases);
    let side = dice.pick(&Side::BOTH);
    match dice.below(100) {
        0..38 => {
            let words = if dice.percent(2) { Words::Banned } else { words(dice) };
            Deed::Comment { case, side, words, internal: dice.percent(20) }
        }
        38..40 => Deed::Edit { case, nth: dice.index(4), words: words(dice) },
        40..55 => {
            let kinds = [
                FileKind::Plain,
                FileKind::Plain,
                FileKind::Namesake,
                FileKind::Namesake,
                FileKind::OddName,
                FileKind::TooLarge,
                FileKind::Forbidden,
            ];
            if dice.percent(3) {
                return Deed::Attach { case, side, file: FileKind::Banned, internal: false };
            }
            Deed::Attach { case, side, file: dice.pick(&kinds), internal: dice.percent(15) }
        }
        55..57 if dice.percent(40) => Deed::Blur { case, side, how: dice.pick(&[Blur::Nothing, Blur::Word]) },
        55..63 => Deed::Prioritise { case, side, priority: u8::try_from(dice.below(5)).unwrap_or(0) },
        63..66 if side == Company && dice.percent(60) => {
            let how = dice.pick(&[Closing::Cancelled, Closing::Duplicate, Closing::Archived]);
            Deed::CloseAs { case, how }
        }
        63 if dice.percent(50) => Deed::Merge { case, into: dice.index(cases) },
        63..71 => Deed::Close { case, side },
        71..78 => Deed::Reopen { case, side },
        78..83 => Deed::Unflag { case },
        83..89 => Deed::Flag { case },
        89..93 => Deed::DeleteCopy { case, side, nth: dice.index(6) },
        93..95 => Deed::DeleteOwn { case, side, nth: dice.index(6) },
        95 => Deed::DeleteCase { case, side },
        96 => Deed::Clone { case },
        97 => Deed::Rename { side },
        _ => Deed::Touch { case, side },
    }
}

fn trouble(length: i64, dice: &mut Dice) -> What {
    let part = dice.pick(&[
        Part::GoogleApi,
        Part::GoogleApi,
        Part::CompanyApi,
        Part::CompanyApi,
        Part::Store,
        Part::Queue,
    ]);
    let percent = u32::try_from(dice.range(10, 70)).unwrap_or(50);
    let trouble = match dice.below(9) {
        0 | 1 => Trouble::Down,
        2 | 3 => Trouble::Unanswered(percent),
        4 => Trouble::Late(percent),
        5 => Trouble::RateLimited(percent),
        6 => Trouble::Slow,
        7 => Trouble::Unreadable(percent),
        _ if matches!(part, Part::GoogleApi | Part::CompanyApi) => {
            dice.pick(&[Trouble::Unauthorized, Trouble::BrokenDownloads(60)])
        }
        _ => Trouble::Unanswered(percent),
    };
    What::Trouble { part, trouble, seconds: dice.range(5, length.max(6)) }
}
