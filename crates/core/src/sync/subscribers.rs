//! Subscribers of a Google case: the people of its company case. Three-way, in one direction: an address that a person removed at Google is
//! not added again, and one that a person added there is kept.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::entities::Subscribed;

/// Maximum length of an address (RFC 5321, 4.5.3.1: 64 octets, `@`, 255 octets, less the brackets of a path).
const LONGEST: usize = 254;

/// Result of comparing the people of a company case with the subscribers of its Google case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubscriberMerge {
    /// All subscribers that the Google case is to have, if that has to change.
    pub set: Option<Vec<String>>,
    /// Record to keep before the change is sent: whatever crashes then, the next comparison knows which addresses are ours.
    pub before: BTreeMap<String, Subscribed>,
    /// Record to keep once Google has taken the change.
    pub after: BTreeMap<String, Subscribed>,
}

/// Addresses that a Google case gets and loses. Only an operator who asks for a dry run is shown them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SubscriberChange {
    /// Addresses that become subscribers.
    pub add: Vec<String>,
    /// Addresses that are no subscribers any more.
    pub remove: Vec<String>,
}

impl SubscriberChange {
    /// Returns the change from the subscribers that a Google case has to those that it is to have.
    #[must_use]
    pub fn between(at_google: &[String], set: &[String]) -> Self {
        let lacking = |of: &[String], other: &[String]| {
            let all: BTreeSet<&String> = of.iter().filter(|address| !other.contains(address)).collect();
            all.into_iter().cloned().collect()
        };
        Self { add: lacking(set, at_google), remove: lacking(at_google, set) }
    }

    /// Returns the number of addresses.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.add.len() + self.remove.len()
    }

    /// Names the addresses, for the operator who asks for a dry run: `add jane@example.com; remove joe@example.com`.
    #[must_use]
    pub fn describe(&self) -> String {
        let of = |what: &str, all: &[String]| (!all.is_empty()).then(|| format!("{what} {}", all.join(", ")));
        of("add", &self.add).into_iter().chain(of("remove", &self.remove)).collect::<Vec<_>>().join("; ")
    }
}

/// Compares the people of a company case (`wanted`, in the form of [`allowed_addresses`]) with the subscribers of its Google case, by the
/// record of the last comparison.
#[must_use]
pub fn merge_subscribers(
    record: &BTreeMap<String, Subscribed>,
    wanted: &BTreeSet<String>,
    at_google: &[String],
) -> SubscriberMerge {
    let there: BTreeSet<String> = at_google.iter().map(|address| normal(address)).collect();
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    let mut added = Vec::new();
    for address in wanted {
        let known = match (record.get(address), there.contains(address)) {
            (None, true) => Subscribed::ByHand,
            (Some(Subscribed::Sent), true) => Subscribed::Ours,
            (None | Some(Subscribed::Sent), false) => {
                added.push(address.clone());
                before.insert(address.clone(), Subscribed::Sent);
                after.insert(address.clone(), Subscribed::Ours);
                continue;
            }
            // Without it at Google: a person removed it there.
            (Some(known @ (Subscribed::Ours | Subscribed::ByHand)), _) => *known,
        };
        before.insert(address.clone(), known);
        after.insert(address.clone(), known);
    }
    let mut removed = BTreeSet::new();
    for (address, known) in record.iter().filter(|(address, _)| !wanted.contains(*address)) {
        match known {
            Subscribed::Ours | Subscribed::Sent if there.contains(address) => {
                removed.insert(address.clone());
                // Whoever is wanted again before the removal takes effect has to be added again.
                before.insert(address.clone(), Subscribed::Sent);
            }
            Subscribed::Ours | Subscribed::Sent | Subscribed::ByHand => {}
        }
    }
    let set = (!added.is_empty() || !removed.is_empty()).then(|| {
        let kept = at_google.iter().filter(|address| !removed.contains(&normal(address))).cloned();
        kept.chain(added).collect()
    });
    SubscriberMerge { set, before, after }
}

/// Returns the addresses that may leave the house: well-formed ones of these domains, in lower case, each once.
pub fn allowed_addresses<'a>(
    found: impl IntoIterator<Item = &'a str>,
    domains: &[String],
) -> BTreeSet<String> {
    let is_allowed = |address: &String| {
        let domain = address.rsplit_once('@').map(|(_, domain)| domain);
        domain.is_some_and(|domain| domains.iter().any(|allowed| allowed.eq_ignore_ascii_case(domain)))
    };
    found.into_iter().filter(|text| is_address(text.trim())).map(normal).filter(is_allowed).collect()
}

/// True for an email address as people have them: dot-atoms on both sides of the `@` (RFC 5322, 3.4.1), in ASCII, with a domain of at
/// least two labels. Quoted names and addresses in brackets are none.
#[must_use]
pub fn is_address(text: &str) -> bool {
    let Some((name, domain)) = text.rsplit_once('@') else { return false };
    let is_atom = |atom: &str| {
        !atom.is_empty()
            && atom.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte))
    };
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.len() <= LONGEST
        && name.len() <= 64
        && name.split('.').all(is_atom)
        && domain.contains('.')
        && domain.split('.').all(is_label)
}

fn normal(address: &str) -> String {
    address.trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(addresses: &[&str]) -> BTreeSet<String> {
        addresses.iter().map(|address| (*address).to_owned()).collect()
    }

    fn list(addresses: &[&str]) -> Vec<String> {
        addresses.iter().map(|address| (*address).to_owned()).collect()
    }

    #[test]
    fn an_address_follows_its_company_case_unless_a_person_at_google_decided_otherwise() {
        let (jane, joe) = ("jane@example.com", "joe@example.com");
        let first = merge_subscribers(&BTreeMap::new(), &set(&[jane]), &list(&["Boss@Example.com"]));
        assert_eq!(first.set, Some(list(&["Boss@Example.com", jane])));
        assert_eq!(first.before, [(jane.to_owned(), Subscribed::Sent)].into());
        assert_eq!(first.after, [(jane.to_owned(), Subscribed::Ours)].into());
        // Nothing to do.
        let there = list(&["Boss@Example.com", "JANE@example.com"]);
        assert_eq!(merge_subscribers(&first.after, &set(&[jane]), &there).set, None);
        // Removed at Google by hand.
        let gone = merge_subscribers(&first.after, &set(&[jane]), &list(&["Boss@Example.com"]));
        assert_eq!((gone.set, &gone.after), (None, &first.after));
        // The answer was lost: it is sent again if it did not arrive, and known as ours if it did.
        let lost = merge_subscribers(&first.before, &set(&[jane]), &[]);
        assert_eq!((lost.set, lost.after), (Some(list(&[jane])), first.after.clone()));
        let arrived = merge_subscribers(&first.before, &set(&[jane]), &list(&[jane]));
        assert_eq!((arrived.set, &arrived.after), (None, &first.after));
        // Removed from the company case.
        let left = merge_subscribers(&first.after, &set(&[]), &there);
        assert_eq!((left.set, left.after), (Some(list(&["Boss@Example.com"])), BTreeMap::new()));
        assert_eq!(left.before, first.before, "the answer may be lost");
        // Back on the company case before the removal took effect, which was no person's.
        let back = merge_subscribers(&left.before, &set(&[jane]), &list(&["Boss@Example.com"]));
        assert_eq!((back.set, back.after), (Some(list(&["Boss@Example.com", jane])), first.after.clone()));
        // Added at Google by hand before the company case had it: it stays.
        let both = merge_subscribers(&BTreeMap::new(), &set(&[joe]), &list(&[joe]));
        assert_eq!((both.set, both.after.get(joe)), (None, Some(&Subscribed::ByHand)));
        let stays = merge_subscribers(&both.after, &set(&[]), &list(&[joe]));
        assert_eq!((stays.set, stays.after), (None, BTreeMap::new()));
    }

    #[test]
    fn a_change_names_who_comes_and_who_goes() {
        let change = SubscriberChange::between(
            &list(&["a@x.org", "b@x.org"]),
            &list(&["b@x.org", "d@x.org", "c@x.org"]),
        );
        assert_eq!(change.describe(), "add c@x.org, d@x.org; remove a@x.org");
        assert_eq!(change.count(), 3);
        assert_eq!(SubscriberChange::default().describe(), "");
    }

    #[test]
    fn only_well_formed_addresses_of_the_domains_leave_the_house() {
        let domains = list(&["example.com", "Example.org"]);
        for (text, allowed) in [
            ("jane.roe+gcp@example.com", true),
            (" JANE@EXAMPLE.ORG ", true),
            ("jane@sub.example.com", false),
            ("jane@example.com.evil.net", false),
            ("jane@evilexample.com", false),
            ("jane@evil.net@example.com", false),
            ("jane@example.com, joe@evil.net", false),
            ("jane", false),
            ("@example.com", false),
            ("jane@", false),
            (".jane@example.com", false),
            ("ja..ne@example.com", false),
            ("\"jane\"@example.com", false),
            ("jane roe@example.com", false),
            ("jané@example.com", false),
            ("jane@example.com\n", true),
            ("jane\r\nBcc: x@example.com", false),
        ] {
            let found = allowed_addresses([text], &domains);
            assert_eq!(found.len(), usize::from(allowed), "{text:?}: {found:?}");
        }
        for text in ["jane@localhost", "jane@-a.com", "jane@a-.com", "jane@a..com", "jane@[127.0.0.1]"] {
            assert!(!is_address(text), "{text}");
        }
        assert!(!is_address(&format!("{}@example.com", "a".repeat(65))));
        assert!(allowed_addresses(["jane@example.com"], &[]).is_empty());
    }

    const PEOPLE: [&str; 4] = ["a@example.com", "b@example.com", "c@example.com", "d@example.com"];

    /// Something that happens between two syncs.
    #[derive(Debug, Clone)]
    enum Step {
        CompanyHas(usize, bool),
        GoogleHas(usize, bool),
        /// The sync whose PATCH is lost: `true` if it took effect.
        SyncLost(bool),
        Sync,
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..PEOPLE.len(), any::<bool>()).prop_map(|(who, has)| Step::CompanyHas(who, has)),
            (0..PEOPLE.len(), any::<bool>()).prop_map(|(who, has)| Step::GoogleHas(who, has)),
            any::<bool>().prop_map(Step::SyncLost),
            Just(Step::Sync),
        ]
    }

    /// Both sides, the record, and what people at Google decided by hand since the company case last changed about it.
    #[derive(Debug, Default)]
    struct World {
        record: BTreeMap<String, Subscribed>,
        company: BTreeSet<String>,
        google: Vec<String>,
    }

    impl World {
        fn sync(&mut self, arrives: bool, answered: bool) {
            let merge = merge_subscribers(&self.record, &self.company, &self.google);
            self.record = merge.before;
            if let Some(all) = merge.set.clone().filter(|_| arrives) {
                self.google = all;
            }
            if answered || merge.set.is_none() {
                self.record = merge.after;
            }
        }
    }

    proptest! {
        #[test]
        fn equal_sides_plan_nothing_and_nothing_goes_to_and_fro(
            steps in proptest::collection::vec(any_step(), 0..40),
        ) {
            let mut world = World::default();
            for step in steps {
                match step {
                    Step::CompanyHas(who, true) => drop(world.company.insert(PEOPLE[who].to_owned())),
                    Step::CompanyHas(who, false) => drop(world.company.remove(PEOPLE[who])),
                    Step::GoogleHas(who, has) => {
                        world.google.retain(|address| address != PEOPLE[who]);
                        if has {
                            world.google.push(PEOPLE[who].to_owned());
                        }
                    }
                    Step::SyncLost(arrives) => world.sync(arrives, false),
                    Step::Sync => world.sync(true, true),
                }
            }
            world.sync(true, true);
            let again = merge_subscribers(&world.record, &world.company, &world.google);
            prop_assert_eq!(&again.set, &None);
            prop_assert_eq!(&again.after, &world.record);
            prop_assert_eq!(&again.before, &world.record);
            // The record has the company's people, and no one else.
            prop_assert_eq!(world.record.keys().cloned().collect::<BTreeSet<_>>(), world.company);
        }

        #[test]
        fn a_hand_at_google_is_never_overruled_and_nobody_else_is_touched(
            company in proptest::collection::btree_set(proptest::sample::select(&PEOPLE[..]), 0..4),
            google in proptest::collection::btree_set(proptest::sample::select(&PEOPLE[..]), 0..4),
            removed in proptest::sample::select(&PEOPLE[..]),
        ) {
            let mut world = World {
                company: company.iter().map(|text| (*text).to_owned()).collect(),
                google: google.iter().map(|text| (*text).to_owned()).collect(),
                ..World::default()
            };
            world.google.push("Hand@Example.net".to_owned());
            world.sync(true, true);
            let all: BTreeSet<&str> = world.google.iter().map(String::as_str).collect();
            prop_assert!(company.is_subset(&all) && google.is_subset(&all));
            world.google.retain(|address| address != removed);
            world.sync(true, true);
            prop_assert!(!world.google.iter().any(|address| address == removed));
            world.company.clear();
            world.sync(true, true);
            // Only what the connector added is gone.
            let expected: BTreeSet<&str> =
                google.iter().copied().filter(|who| *who != removed).chain(["Hand@Example.net"]).collect();
            prop_assert_eq!(world.google.iter().map(String::as_str).collect::<BTreeSet<_>>(), expected);
        }

        #[test]
        fn nothing_leaves_the_house_but_addresses_of_its_domains(
            found in proptest::collection::vec("[a-c@. ,<>]{0,12}(example\\.com|evil\\.net)?", 0..8),
        ) {
            let domains = ["example.com".to_owned()];
            for address in allowed_addresses(found.iter().map(String::as_str), &domains) {
                prop_assert!(address.ends_with("@example.com"), "{}", address);
                prop_assert_eq!(address.matches('@').count(), 1);
            }
        }
    }
}
