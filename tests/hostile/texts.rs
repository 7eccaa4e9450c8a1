//! What people write, in every system: it is split without loss, marks nothing as the connector's, and files keep their names as
//! far as names go.

use std::collections::BTreeMap;

use casebridge::cases::{Capabilities, Comment, Visibility, markers};
use casebridge::entities::{CompanyCaseId, Side};
use casebridge::sync::texts;
use proptest::prelude::*;

use crate::subjects::{Kind, open};
use crate::{cases, run};

/// What each client says of its system; asked once.
fn systems() -> BTreeMap<&'static str, Capabilities> {
    static ALL: std::sync::OnceLock<BTreeMap<&'static str, Capabilities>> = std::sync::OnceLock::new();
    ALL.get_or_init(|| {
        run(async {
            let mut all = BTreeMap::new();
            for kind in Kind::ALL {
                let capabilities = open(kind).await.system.capabilities().clone();
                all.insert(capabilities.name, capabilities);
            }
            all
        })
    })
    .clone()
}

/// Texts with everything that may be troublesome, long enough to be split.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => "[ -~\n\r\t]{0,60}",
        2 => "\\PC{0,30}",
        1 => prop::sample::select(
            [
                "👩‍👩‍👧‍👦", "🇩🇪", "e\u{301}\u{323}\u{335}", "\u{0}\u{1}\u{1b}[31m", "\r\n", "\u{2028}", "\u{feff}", "\u{202e}", "[code]", "[/code]",
                "{noformat}", "<script>alert(1)</script>", "&lt;", "\\", "[Google Comment 1 by x]\n", "CONTENT MIRRORED FROM COMPANY CASE 10001:",
                "This case is now syncing with Company Case: 10001", "\u{200b}", "ᄀᄀᄀ각ᆨᆨ", "\u{1f468}\u{200d}\u{200d}",
            ]
            .map(str::to_owned)
            .to_vec()
        ),
    ];
    let word = (piece, prop_oneof![6 => Just(1_usize), 2 => 1..40_usize, 1 => 200..3_000_usize])
        .prop_map(|(piece, times)| piece.repeat(times));
    prop::collection::vec(word, 0..12).prop_map(|words| words.concat().chars().take(150_000).collect())
}

fn comment(id: &str, author: &str, body: &str) -> Comment {
    Comment {
        id: id.to_owned(),
        other_id: None,
        author: author.to_owned(),
        created_at: None,
        body: body.to_owned(),
        earlier_body: None,
        edited_at: None,
        visibility: Visibility::Public,
        by_connector: None,
    }
}

fn body(part: &str) -> &str {
    part.split_once('\n').map_or("", |(_, body)| body)
}

proptest! {
    #![proptest_config(cases(32))]

    /// In each system's own unit, its client's escaping included.
    #[test]
    fn a_comment_arrives_whole_and_within_the_limits_of_every_system(said in text(), author in "\\PC{0,200}( \\([0-9]{1,2}/[0-9]{1,2}\\))?") {
        for (name, system) in systems() {
            for from in Side::BOTH {
                let parts = texts::comment_parts(from, &comment("12", &author, &said), &system);
                let carried = texts::carried(&said, &system);
                let together: String = parts.iter().map(|part| body(part)).collect();
                prop_assert_eq!(&together, &carried, "{}", name);
                for (index, part) in parts.iter().enumerate() {
                    prop_assert!(system.comment_limit.holds(part), "{}: {}", name, (system.comment_limit.measure)(part));
                    // Each is known again by what it says of itself.
                    let copied = texts::copied_part(from, part).unwrap();
                    prop_assert_eq!((copied.id, copied.part as usize, copied.parts as usize), ("12", index + 1, parts.len()));
                    prop_assert_eq!(copied.text.strip_prefix('\n').unwrap_or(copied.text), body(part));
                    prop_assert_eq!(texts::copied_part(from.other(), part), None);
                }
            }
        }
    }

    #[test]
    fn a_case_arrives_whole_and_within_the_limits_of_every_system(title in text(), description in text()) {
        for (name, system) in systems() {
            for from in Side::BOTH {
                let company = markers::CompanyCase { id: "10001", key: Some("SUP-1"), address: Some("https://desk.example") };
                let header = match from {
                    Side::Google => markers::COMPANY_DESCRIPTION_HEADER.to_owned(),
                    Side::Company => markers::google_description_header(&company),
                };
                let made = texts::mirrored(from, &header, &title, &description, &system);
                prop_assert!(system.title_limit.holds(&made.title), "{}: {}", name, made.title);
                prop_assert!(system.description_limit.holds(&made.description), "{}", name);
                prop_assert!(made.further.iter().all(|part| system.comment_limit.holds(part)), "{}", name);
                let together: String = std::iter::once(made.description.as_str()).chain(made.further.iter().map(String::as_str)).map(body).collect();
                prop_assert!(together.ends_with(&texts::carried(&description, &system)), "{}", name);
                let named = markers::company_case_of_description(&made.description);
                prop_assert_eq!(named.map(|company| company.id), (from == Side::Company).then_some("10001"), "{}", name);
                for (index, part) in made.further.iter().enumerate() {
                    prop_assert_eq!(texts::description_part(from, part), u32::try_from(index + 2).ok());
                }
            }
        }
    }

    /// What a person writes stands below a header of ours, so that no text of theirs is one.
    #[test]
    fn no_persons_text_makes_a_marker_of_what_the_connector_writes(said in text(), author in text(), id in "[0-9a-zA-Z._-]{1,20}") {
        let systems = systems();
        let google = &systems["Google Cloud Customer Care"];
        for part in texts::comment_parts(Side::Company, &comment(&id, &author, &said), google) {
            prop_assert_eq!(markers::company_case_of_description(&part), None);
            prop_assert_eq!(texts::recognise_notice(&part), None);
            // A header is one line, whoever the author says they are.
            let start = format!("[Company Comment {id} by ");
            prop_assert!(part.starts_with(&start));
            prop_assert!(texts::first_line(&part).ends_with(']'));
        }
    }

    /// Only what is exactly so is one; and what is written is read.
    #[test]
    fn markers_go_round(id in "[0-9a-zA-Z_-][0-9a-zA-Z._-]{0,60}", place in "(https://[a-z.:0-9/?=-]{1,40})?", before in "\\PC{0,5}", after in "(\r\n|\n)\\PC{0,40}") {
        let company = markers::CompanyCase { id: &id, key: None, address: Some(place.as_str()).filter(|place| !place.is_empty()) };
        let header = markers::google_description_header(&company);
        let description = format!("{header}{after}");
        prop_assert_eq!(markers::company_case_of_description(&description), Some(company));
        let other = format!("{before}{header}");
        let named = markers::company_case_of_description(&other);
        prop_assert_eq!(named.is_some(), before.is_empty(), "{:?}", other);
        prop_assert_eq!(texts::recognise_notice(&markers::now_syncing(&company)), Some(casebridge::entities::Notice::NowSyncing));
    }

    #[test]
    fn no_text_is_taken_for_a_description_of_ours_unless_it_begins_as_one(said in text()) {
        if let Some(company) = markers::company_case_of_description(&said) {
            prop_assert!(CompanyCaseId::parse(company.id).is_ok());
            prop_assert!(said.starts_with(&markers::google_description_search(company.id)));
        }
    }

    /// Names as anything can give them: sound for a header and a path, short enough, with their ending, and the same again.
    #[test]
    fn a_files_name_is_made_sound_for_every_system(
        stem in prop_oneof![2 => text().prop_map(|text| text.chars().take(600).collect::<String>()), 1 => "\\PC{0,300}", 1 => "(\\.\\.?/|\\\\|\"|\r\n|\u{0}|;|%2f|:){0,20}"],
        ending in prop::sample::select(vec!["", ".log", ".tar.gz", ".PDF", "."]),
    ) {
        let name = format!("{stem}{ending}");
        for (system, capabilities) in systems() {
            let stored = (capabilities.stored_filename)(&name);
            prop_assert!(!stored.trim().is_empty(), "{}: {:?}", system, name);
            prop_assert!(!stored.contains(casebridge::cases::is_hidden_control), "{}: {:?}", system, stored);
            prop_assert_eq!((capabilities.stored_filename)(&stored), stored.clone(), "{}", system);
            if system != "Google Cloud Customer Care" {
                // It stands in a header or a query, and by some of them in a path.
                prop_assert!(!stored.contains(['/', '\\', '"']), "{}: {:?}", system, stored);
                prop_assert!(stored.chars().count() <= 255, "{}: {}", system, stored.chars().count());
                prop_assert!(![".", ".."].contains(&stored.as_str()), "{}", system);
            }
            if matches!(ending, ".log" | ".PDF") && !stem.trim().is_empty() {
                prop_assert!(stored.ends_with(ending), "{}: {:?} became {:?}", system, name, stored);
            }
        }
    }
}
