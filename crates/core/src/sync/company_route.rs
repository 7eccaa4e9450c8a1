//! Routes from the CRM: where a company case belongs at Google. A pure function of the configuration and the case's details, asked once,
//! before the Google case is created.

use std::collections::BTreeMap;
use std::fmt;

use super::route::{Patterns, RouteTable};
use crate::cases::{Details, PeopleSource, Wanted};
use crate::entities::{GoogleCaseName, GooglePlacement};

/// Conditions of a route for company cases: those that are given have to hold, all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CompanyConditions {
    /// Project, brand, table or queue.
    pub project: Patterns,
    /// Type or category.
    pub issue_type: Patterns,
    /// Component or group.
    pub component: Patterns,
    /// Label or tag.
    pub label: Patterns,
    /// Fields, by the CRM's names or IDs.
    pub fields: BTreeMap<String, Patterns>,
}

impl CompanyConditions {
    /// All keys, as in `match` of a route.
    pub const KEYS: [&'static str; 5] = ["project", "issue_type", "component", "label", "field"];

    /// True if every case meets them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the keys that have a pattern.
    #[must_use]
    pub fn keys(&self) -> Vec<&'static str> {
        let given = [
            !self.project.is_empty(),
            !self.issue_type.is_empty(),
            !self.component.is_empty(),
            !self.label.is_empty(),
            !self.fields.is_empty(),
        ];
        Self::KEYS.into_iter().zip(given).filter_map(|(key, given)| given.then_some(key)).collect()
    }

    /// True if the case meets all of them. A detail that the case does not have meets no pattern.
    #[must_use]
    pub fn hold(&self, details: &Details) -> bool {
        let any = |patterns: &Patterns, texts: &[String]| {
            let meets = |text: &String| patterns.iter().any(|pattern| pattern.matches(text));
            patterns.is_empty() || texts.iter().any(meets)
        };
        any(&self.project, &details.project)
            && any(&self.issue_type, &details.issue_type)
            && any(&self.component, &details.component)
            && any(&self.label, &details.label)
            && self.fields.iter().all(|(name, patterns)| {
                any(patterns, details.fields.get(name).map(Vec::as_slice).unwrap_or_default())
            })
    }

    /// Returns the names of projects, types, components and labels that the conditions match exactly: those can be looked up.
    #[must_use]
    pub fn literals(&self) -> Details {
        let of = |patterns: &Patterns| patterns.iter().filter_map(super::Pattern::literal).collect();
        Details {
            project: of(&self.project),
            issue_type: of(&self.issue_type),
            component: of(&self.component),
            label: of(&self.label),
            ..Details::default()
        }
    }
}

/// One `[[route]]` of the configuration, for company cases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompanyRoute {
    /// Conditions on the company case.
    pub conditions: CompanyConditions,
    /// Values of the Google case if they hold.
    pub placement: GooglePlacement,
}

/// Decision of a table about a company case: the route that matched. It displays as the route's name for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoutedCompany<'a> {
    /// Position in the table, from 1.
    pub number: usize,
    /// Values of the Google case.
    pub placement: &'a GooglePlacement,
}

impl fmt::Display for RoutedCompany<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "route {}", self.number)
    }
}

/// Fields of company cases that decide about their Google case, and the people who get its mails: a part of `[google]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placing {
    /// Field that names the parent of the Google case.
    pub parent_field: Option<String>,
    /// Field that names the classification of the Google case.
    pub classification_field: Option<String>,
    /// Places on the company case whose people become subscribers of the Google case.
    pub subscribers_from: Vec<PeopleSource>,
    /// Domains of the addresses that may leave the house, in lower case.
    pub subscriber_domains: Vec<String>,
}

/// Values of a new Google case, and their origin.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placed {
    /// Values. The classification may be words.
    pub placement: GooglePlacement,
    /// Number of the route that matched.
    pub route: Option<usize>,
    /// Field of the company case that the parent was read from.
    pub parent_from: Option<String>,
    /// Field of the company case that the classification was read from.
    pub classification_from: Option<String>,
}

impl Placed {
    /// Describes the decision in a dry run: the route, the values and the fields that they were read from. Empty if nothing is special.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut by: Vec<String> = self.route.iter().map(|number| format!("route {number}")).collect();
        let fields = self.parent_from.iter().chain(&self.classification_from);
        by.extend(fields.map(|name| format!("the case's field {name}")));
        let values = self.placement.describe();
        match (by.is_empty(), values.is_empty()) {
            (true, _) => String::new(),
            (false, true) => format!(" by {}", by.join(" and ")),
            (false, false) => format!(" by {} ({values})", by.join(" and ")),
        }
    }
}

impl Placing {
    /// Returns the details to read of a company case before its Google case is created.
    #[must_use]
    pub fn wanted(&self, routes: &RouteTable) -> Wanted {
        let routes = routes.company_routes();
        let matched = routes.iter().flat_map(|(_, route)| route.conditions.fields.keys());
        let own = self.parent_field.iter().chain(&self.classification_field);
        Wanted {
            terms: routes.iter().any(|(_, route)| route.conditions.keys().iter().any(|key| *key != "field")),
            fields: matched.chain(own).cloned().collect(),
            people: Vec::new(),
        }
    }

    /// Decides where the Google case of a company case belongs: by the first route that matches, and by the case's own fields, which come
    /// first. The error says what is wrong with a field, for the people of the case.
    pub fn decide(&self, routes: &RouteTable, details: &Details) -> Result<Placed, String> {
        let chosen = routes.decide_for_company(details);
        let mut placed = Placed {
            placement: chosen.map(|chosen| chosen.placement.clone()).unwrap_or_default(),
            route: chosen.map(|chosen| chosen.number),
            ..Placed::default()
        };
        if let Some((name, text)) = only_value(self.parent_field.as_ref(), details)? {
            let parent = parse_parent(text).ok_or_else(|| {
                format!(
                    "field {name} holds {:?}, which names no project: write the project's ID, or projects/ID",
                    crate::cases::shorten(text)
                )
            })?;
            placed.placement.parent = Some(parent);
            placed.parent_from = Some(name.to_owned());
        }
        if let Some((name, text)) = only_value(self.classification_field.as_ref(), details)? {
            placed.placement.classification = Some(text.to_owned());
            placed.classification_from = Some(name.to_owned());
        }
        Ok(placed)
    }
}

/// Returns the name and the one value of a field; `None` if it has none.
fn only_value<'a>(
    name: Option<&'a String>,
    details: &'a Details,
) -> Result<Option<(&'a str, &'a str)>, String> {
    let Some(name) = name else { return Ok(None) };
    let values = details.fields.get(name).into_iter().flatten().map(|text| text.trim());
    let mut values: Vec<&str> = values.filter(|text| !text.is_empty()).collect();
    values.dedup();
    match values.as_slice() {
        [] => Ok(None),
        [value] => Ok(Some((name, *value))),
        several => Err(format!("field {name} holds {} values, and only one is possible", several.len())),
    }
}

/// Reads the parent of cases as a person writes it: `projects/ID`, `organizations/NUMBER`, or the ID of a project alone.
#[must_use]
pub fn parse_parent(text: &str) -> Option<String> {
    let text = text.trim();
    let parent = if text.contains('/') { text.to_owned() } else { format!("projects/{text}") };
    // A parent is valid if the name of a case below it would be.
    GoogleCaseName::parse(&format!("{parent}/cases/1")).ok().map(|_| parent)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Pattern;
    use super::*;

    fn patterns(texts: &[&str]) -> Patterns {
        texts.iter().map(|text| Pattern::new(text)).collect()
    }

    fn texts(all: &[&str]) -> Vec<String> {
        all.iter().map(|text| (*text).to_owned()).collect()
    }

    /// A case of the project SHOP, with two components and a field.
    fn details() -> Details {
        Details {
            project: texts(&["SHOP", "The shop", "10001"]),
            issue_type: texts(&["Incident"]),
            component: texts(&["Checkout", "Search"]),
            label: texts(&["gcp", "urgent"]),
            fields: [("Team".to_owned(), texts(&["Payments"]))].into(),
            people: Vec::new(),
        }
    }

    #[test]
    fn each_condition_is_about_its_own_detail_and_all_have_to_hold() {
        let with = |change: fn(&mut CompanyConditions)| {
            let mut conditions = CompanyConditions::default();
            change(&mut conditions);
            conditions.hold(&details())
        };
        assert!(with(|_| {}));
        assert!(with(|when| when.project = patterns(&["shop"])));
        assert!(with(|when| when.project = patterns(&["the shop"])));
        assert!(!with(|when| when.project = patterns(&["incident"])));
        assert!(with(|when| when.issue_type = patterns(&["Bug", "inc*"])));
        assert!(with(|when| when.component = patterns(&["search"])));
        assert!(with(|when| when.label = patterns(&["urgent"])));
        assert!(!with(|when| when.label = patterns(&["urg"])));
        assert!(with(|when| drop(when.fields.insert("Team".to_owned(), patterns(&["pay*"])))));
        assert!(!with(|when| drop(when.fields.insert("Cause".to_owned(), patterns(&["*"])))));
        assert!(!with(|when| {
            when.project = patterns(&["shop"]);
            when.issue_type = patterns(&["Bug"]);
        }));
        assert!(CompanyConditions::default().hold(&Details::default()));
        let any = CompanyConditions { label: patterns(&["*"]), ..CompanyConditions::default() };
        assert!(!any.hold(&Details::default()), "a detail that is missing meets not even *");
    }

    #[test]
    fn a_field_of_the_case_comes_before_the_route_and_is_checked() {
        let placing = Placing {
            parent_field: Some("GCP project".to_owned()),
            classification_field: Some("Product".to_owned()),
            ..Placing::default()
        };
        let route = CompanyRoute {
            conditions: CompanyConditions { project: patterns(&["SHOP"]), ..CompanyConditions::default() },
            placement: GooglePlacement {
                parent: Some("projects/shop-prod".to_owned()),
                classification: Some("Cloud Storage".to_owned()),
                language_code: Some("de".to_owned()),
                ..GooglePlacement::default()
            },
        };
        let table: RouteTable = [route].into_iter().collect();
        let with = |fields: &[(&str, &[&str])]| {
            let fields = fields.iter().map(|(name, values)| ((*name).to_owned(), texts(values))).collect();
            placing.decide(&table, &Details { fields, ..details() })
        };
        let usual = with(&[]).unwrap();
        assert_eq!(
            usual.describe(),
            " by route 1 (parent projects/shop-prod, classification Cloud Storage, language_code de)"
        );
        let own = with(&[("GCP project", &[" shop-test "]), ("Product", &["Compute Engine"])]).unwrap();
        assert_eq!(own.placement.parent.as_deref(), Some("projects/shop-test"));
        assert_eq!(own.placement.classification.as_deref(), Some("Compute Engine"));
        assert_eq!(own.placement.language_code.as_deref(), Some("de"));
        assert!(own.describe().starts_with(
            " by route 1 and the case's field GCP project and the case's field Product (parent projects/shop-test"
        ));
        assert_eq!(with(&[("GCP project", &["", " "])]).unwrap(), usual, "an empty field says nothing");
        for (values, words) in [
            (&["a", "b"][..], "field GCP project holds 2 values"),
            (&["folders/7"][..], "which names no project"),
            (&["shop prod"][..], "which names no project"),
            (&["projects/../x"][..], "which names no project"),
        ] {
            let problem = with(&[("GCP project", values)]).unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
        assert_eq!(Placing::default().decide(&table, &Details::default()), Ok(Placed::default()));
    }

    #[test]
    fn only_what_decides_is_read() {
        let none = Placing::default();
        assert!(none.wanted(&RouteTable::default()).is_empty());
        let of = |change: fn(&mut CompanyConditions)| {
            let mut conditions = CompanyConditions::default();
            change(&mut conditions);
            let route = CompanyRoute { conditions, placement: GooglePlacement::default() };
            none.wanted(&[route].into_iter().collect())
        };
        assert!(of(|_| {}).is_empty());
        assert!(of(|when| when.label = patterns(&["x"])).terms);
        let by_field = of(|when| drop(when.fields.insert("Team".to_owned(), patterns(&["x"]))));
        assert_eq!(by_field, Wanted { fields: ["Team".to_owned()].into(), ..Wanted::default() });
    }

    fn any_conditions() -> impl Strategy<Value = CompanyConditions> {
        let some = |choices: &'static [&'static str]| {
            proptest::collection::vec(proptest::sample::select(choices).prop_map(Pattern::new), 0..3)
        };
        (
            some(&["shop", "ops", "*"]),
            some(&["incident", "task", "?ask"]),
            some(&["checkout", "se*"]),
            some(&["gcp", "urgent", "x"]),
            proptest::option::of(some(&["pay*", "platform"])),
        )
            .prop_map(|(project, issue_type, component, label, team)| CompanyConditions {
                project,
                issue_type,
                component,
                label,
                fields: team.into_iter().map(|patterns| ("Team".to_owned(), patterns)).collect(),
            })
    }

    fn any_route() -> impl Strategy<Value = CompanyRoute> {
        (any_conditions(), "[a-z]{6}").prop_map(|(conditions, project)| CompanyRoute {
            conditions,
            placement: GooglePlacement {
                parent: Some(format!("projects/{project}")),
                ..GooglePlacement::default()
            },
        })
    }

    fn any_details() -> impl Strategy<Value = Details> {
        let some = |choices: &'static [&'static str]| {
            let one = proptest::sample::select(choices).prop_map(str::to_owned);
            proptest::collection::vec(one, 0..3)
        };
        (
            some(&["SHOP", "OPS"]),
            some(&["Incident", "Task"]),
            some(&["Checkout", "Search"]),
            some(&["gcp", "urgent"]),
            some(&["Payments", "Platform"]),
        )
            .prop_map(|(project, issue_type, component, label, team)| Details {
                project,
                issue_type,
                component,
                label,
                fields: [("Team".to_owned(), team)].into(),
                people: Vec::new(),
            })
    }

    proptest! {
        #[test]
        fn the_first_route_that_holds_decides_and_those_behind_it_do_not_matter(
            routes in proptest::collection::vec(any_route(), 0..6),
            more in proptest::collection::vec(any_route(), 0..4),
            details in any_details(),
        ) {
            let table: RouteTable = routes.iter().cloned().collect();
            let holds = |route: &CompanyRoute| route.conditions.hold(&details);
            match table.decide_for_company(&details) {
                Some(decision) => {
                    prop_assert!(holds(&routes[decision.number - 1]));
                    prop_assert_eq!(decision.placement, &routes[decision.number - 1].placement);
                    prop_assert!(!routes[..decision.number - 1].iter().any(holds));
                    let longer: RouteTable = routes.iter().chain(&more).cloned().collect();
                    prop_assert_eq!(longer.decide_for_company(&details), Some(decision));
                }
                None => prop_assert!(!routes.iter().any(holds)),
            }
        }

        #[test]
        fn a_condition_more_never_matches_more(
            fewer in any_conditions(),
            label in proptest::sample::select(&["gcp", "x", "*"][..]),
            details in any_details(),
        ) {
            let more = CompanyConditions { label: vec![Pattern::new(label)], ..fewer.clone() };
            let fewer = CompanyConditions { label: Patterns::new(), ..fewer };
            prop_assert!(!more.hold(&details) || fewer.hold(&details));
        }

        #[test]
        fn what_is_read_of_a_case_is_all_that_its_route_depends_on(
            routes in proptest::collection::vec(any_route(), 0..5),
            details in any_details(),
        ) {
            let table: RouteTable = routes.into_iter().collect();
            let placing = Placing { parent_field: Some("Team".to_owned()), ..Placing::default() };
            let wanted = placing.wanted(&table);
            let mut read = details.clone();
            if !wanted.terms {
                read = Details { fields: read.fields, ..Details::default() };
            }
            read.fields.retain(|name, _| wanted.fields.contains(name));
            prop_assert_eq!(placing.decide(&table, &read), placing.decide(&table, &details));
        }
    }
}
