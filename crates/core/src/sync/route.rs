//! Routes: which Google cases are mirrored, and where their company cases belong; for the other direction, `company_route`. A pure function
//! of the rules and the case, asked once, before a counterpart is created. A pair that exists is never asked about.

use std::fmt;
use std::sync::Arc;

use super::company_route::{CompanyRoute, RoutedCompany};
use crate::cases::{Case, Details, Filing, Found, Placement};
use crate::entities::{Priority, PriorityReading};

/// Facts about a Google case that routes go by.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    scope: Option<&'a str>,
    priority: &'a PriorityReading,
    title: &'a str,
    filing: &'a Filing,
}

impl<'a> From<&'a Case> for Subject<'a> {
    fn from(case: &'a Case) -> Self {
        Self {
            scope: case.scope.as_deref(),
            priority: &case.priority,
            title: &case.title,
            filing: &case.filing,
        }
    }
}

impl<'a> From<&'a Found> for Subject<'a> {
    fn from(case: &'a Found) -> Self {
        Self {
            scope: case.scope.as_deref(),
            priority: &case.priority,
            title: &case.title,
            filing: &case.filing,
        }
    }
}

impl Subject<'_> {
    /// Returns the ID of the project, or the whole name of the organisation.
    fn project(&self) -> Option<&str> {
        self.scope.map(|scope| scope.strip_prefix("projects/").unwrap_or(scope))
    }

    /// Returns the priority, if it is exactly one level.
    fn level(&self) -> Option<Priority> {
        self.priority.level()
    }
}

/// Pattern for a whole text, without regard to case: `*` stands for any text, `?` for one character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<char>);

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().collect::<String>())
    }
}

impl Pattern {
    /// Reads a pattern.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_lowercase().chars().collect())
    }

    /// Returns the text, in lower case, if the pattern matches no other.
    #[must_use]
    pub fn literal(&self) -> Option<String> {
        let is_open = self.0.iter().any(|letter| matches!(letter, '*' | '?'));
        (!is_open).then(|| self.0.iter().collect())
    }

    /// True if the pattern matches the whole text.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.trim().to_lowercase().chars().collect();
        let (mut at, mut in_text) = (0, 0);
        // The last `*`, and the text that it has not taken yet: the only place to come back to.
        let mut star: Option<(usize, usize)> = None;
        while in_text < text.len() {
            match self.0.get(at) {
                Some('*') => {
                    star = Some((at, in_text));
                    at += 1;
                }
                Some(letter) if *letter == '?' || *letter == text[in_text] => {
                    at += 1;
                    in_text += 1;
                }
                Some(_) | None => {
                    let Some((star_at, taken)) = star else { return false };
                    star = Some((star_at, taken + 1));
                    at = star_at + 1;
                    in_text = taken + 1;
                }
            }
        }
        self.0[at..].iter().all(|letter| *letter == '*')
    }
}

/// Patterns of one key, any of which has to match. Without one, the key does not matter.
pub type Patterns = Vec<Pattern>;

/// Conditions of a route: those that are given have to hold, all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conditions {
    /// Project's ID, or `organizations/NUMBER` for a case of the organisation itself.
    pub project: Patterns,
    /// Level: `P0` to `P4`.
    pub priority: Patterns,
    /// ID or display name of the classification.
    pub classification: Patterns,
    /// Title.
    pub title: Patterns,
    /// True for test cases only, false for others only.
    pub test_case: Option<bool>,
}

impl Conditions {
    /// True if every case meets them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// True if the case meets all of them. A fact that the case does not have meets no pattern.
    #[must_use]
    pub fn hold(&self, subject: &Subject<'_>) -> bool {
        let filing = subject.filing;
        let any = |patterns: &Patterns, facts: &[Option<&str>]| {
            let meets = |pattern: &Pattern| facts.iter().flatten().any(|fact| pattern.matches(fact));
            patterns.is_empty() || patterns.iter().any(meets)
        };
        any(&self.project, &[subject.project()])
            && any(&self.priority, &[subject.level().map(Priority::name)])
            && any(
                &self.classification,
                &[filing.classification.as_deref(), filing.classification_id.as_deref()],
            )
            && any(&self.title, &[Some(subject.title)])
            && self.test_case.is_none_or(|wanted| wanted == filing.test_case)
    }
}

/// Consequence of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// The case is not mirrored.
    LeaveOut,
    /// The case is mirrored, with these values on its company case.
    Mirror(Placement),
}

/// One `[[route]]` of the configuration, for Google cases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Conditions on the Google case.
    pub conditions: Conditions,
    /// Consequence if they hold.
    pub destination: Destination,
}

/// One `[[route]]` of the configuration, of either direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnyRoute {
    /// A route for Google cases.
    Google(Route),
    /// A route for company cases.
    Company(CompanyRoute),
}

impl From<Route> for AnyRoute {
    fn from(route: Route) -> Self {
        Self::Google(route)
    }
}

impl From<CompanyRoute> for AnyRoute {
    fn from(route: CompanyRoute) -> Self {
        Self::Company(route)
    }
}

/// All routes, in order, each with its number, from 1. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RouteTable {
    google: Arc<[(usize, Route)]>,
    company: Arc<[(usize, CompanyRoute)]>,
}

/// Decision of a table about a case: the route that matched. It displays as the route's name for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Routed<'a> {
    /// Position in the table, from 1.
    pub number: usize,
    /// Consequence.
    pub destination: &'a Destination,
}

impl Routed<'_> {
    /// Returns the reason why the case is not mirrored; `None` if it is.
    #[must_use]
    pub fn left_out(&self) -> Option<String> {
        match self.destination {
            Destination::LeaveOut => Some(format!("{self} leaves it out (mirror = false)")),
            Destination::Mirror(_) => None,
        }
    }

    /// Returns the values to set on the company case.
    #[must_use]
    pub fn placement(&self) -> Placement {
        match self.destination {
            Destination::LeaveOut => Placement::default(),
            Destination::Mirror(placement) => placement.clone(),
        }
    }

    /// Describes the decision in a dry run: the route, and the values that it sets.
    #[must_use]
    pub fn describe(&self) -> String {
        match self.placement().describe() {
            values if values.is_empty() => self.to_string(),
            values => format!("{self} ({values})"),
        }
    }
}

impl fmt::Display for Routed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "route {}", self.number)
    }
}

impl<R: Into<AnyRoute>> FromIterator<R> for RouteTable {
    fn from_iter<I: IntoIterator<Item = R>>(routes: I) -> Self {
        let (mut google, mut company) = (Vec::new(), Vec::new());
        for (number, route) in (1..).zip(routes) {
            match route.into() {
                AnyRoute::Google(route) => google.push((number, route)),
                AnyRoute::Company(route) => company.push((number, route)),
            }
        }
        Self { google: google.into(), company: company.into() }
    }
}

impl RouteTable {
    /// Returns the routes for Google cases, in order, each with its number.
    #[must_use]
    pub fn google_routes(&self) -> &[(usize, Route)] {
        &self.google
    }

    /// Returns the routes for company cases, in order, each with its number.
    #[must_use]
    pub fn company_routes(&self) -> &[(usize, CompanyRoute)] {
        &self.company
    }

    /// Returns the first route whose conditions hold for a Google case; `None` if there is none, and nothing is special about the case.
    #[must_use]
    pub fn decide<'a>(&self, subject: impl Into<Subject<'a>>) -> Option<Routed<'_>> {
        let subject = subject.into();
        let (number, route) = self.google.iter().find(|(_, route)| route.conditions.hold(&subject))?;
        Some(Routed { number: *number, destination: &route.destination })
    }

    /// Returns the first route whose conditions hold for a company case; `None` if there is none.
    #[must_use]
    pub fn decide_for_company(&self, details: &Details) -> Option<RoutedCompany<'_>> {
        let (number, route) = self.company.iter().find(|(_, route)| route.conditions.hold(details))?;
        Some(RoutedCompany { number: *number, placement: &route.placement })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::entities::Side;

    fn patterns(texts: &[&str]) -> Patterns {
        texts.iter().map(|text| Pattern::new(text)).collect()
    }

    /// A P1 case of project `shop-prod`, filed under Compute Engine.
    fn case() -> Case {
        Case {
            id: "projects/shop-prod/cases/1".to_owned(),
            scope: Some("projects/shop-prod".to_owned()),
            title: "Disk is slow".to_owned(),
            priority: PriorityReading::exactly(Priority::P1),
            filing: Filing {
                classification_id: Some("100152".to_owned()),
                classification: Some("Technical Issue > Compute > Compute Engine".to_owned()),
                test_case: false,
            },
            ..Case::default()
        }
    }

    #[test]
    fn a_pattern_matches_a_whole_text_without_regard_to_case() {
        for (pattern, text, matches) in [
            ("shop-*", "Shop-Prod", true),
            ("shop-*", "my-shop-prod", false),
            ("*Compute*", "Technical Issue > Compute > Compute Engine", true),
            ("p?", "P1", true),
            ("p?", "P", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("a*b*c", "a-bb-b-c", true),
            ("a*b*c", "a-bb-b-d", false),
            ("**x", "x", true),
            (" straße ", "STRAßE", true),
            ("ä?", "Äé", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), matches, "{pattern:?} {text:?}");
        }
    }

    #[test]
    fn each_condition_is_about_its_own_fact_and_all_have_to_hold() {
        let with = |change: fn(&mut Conditions)| {
            let mut conditions = Conditions::default();
            change(&mut conditions);
            conditions.hold(&Subject::from(&case()))
        };
        assert!(with(|_| {}));
        assert!(with(|when| when.project = patterns(&["other", "shop-*"])));
        assert!(!with(|when| when.project = patterns(&["organizations/*"])));
        assert!(with(|when| when.priority = patterns(&["P0", "P1"])));
        assert!(!with(|when| when.priority = patterns(&["P0"])));
        assert!(with(|when| when.classification = patterns(&["*compute*"])));
        assert!(with(|when| when.classification = patterns(&["100152"])));
        assert!(!with(|when| when.classification = patterns(&["Compute"])));
        assert!(with(|when| when.title = patterns(&["disk*"])));
        assert!(with(|when| when.test_case = Some(false)));
        assert!(!with(|when| when.test_case = Some(true)));
        assert!(!with(|when| {
            when.title = patterns(&["disk*"]);
            when.priority = patterns(&["P4"]);
        }));
        // A fact that is missing meets not even `*`.
        let bare = Case::default();
        let any = Conditions { priority: patterns(&["*"]), ..Conditions::default() };
        assert!(!any.hold(&Subject::from(&bare)));
        assert!(Conditions::default().hold(&Subject::from(&bare)));
    }

    #[test]
    fn a_search_and_a_read_of_a_case_lead_to_the_same_route() {
        let table: RouteTable = [Route {
            conditions: Conditions {
                project: patterns(&["shop-*"]),
                priority: patterns(&["P1"]),
                classification: patterns(&["*compute*"]),
                title: patterns(&["disk*"]),
                test_case: Some(false),
            },
            destination: Destination::LeaveOut,
        }]
        .into_iter()
        .collect();
        let decision = table.decide(&case()).unwrap();
        assert_eq!(table.decide(&Found::of(Side::Google, &case())), Some(decision));
        assert_eq!(decision.left_out().unwrap(), "route 1 leaves it out (mirror = false)");
    }

    /// Says if a pattern matches, by trying every split at a `*`.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => (0..=text.len()).any(|taken| naive(rest, &text[taken..])),
            (Some((letter, rest)), Some((other, text))) if *letter == '?' || letter == other => {
                naive(rest, text)
            }
            (Some(_), _) | (None, Some(_)) => false,
        }
    }

    fn any_conditions() -> impl Strategy<Value = Conditions> {
        let some = |choices: &'static [&'static str]| {
            proptest::collection::vec(proptest::sample::select(choices).prop_map(Pattern::new), 0..3)
        };
        (
            some(&["shop-*", "shop-prod", "lab", "*"]),
            some(&["P0", "P1", "p?"]),
            some(&["*compute*", "100152", "billing"]),
            some(&["disk*", "*slow", "net*"]),
            proptest::option::of(any::<bool>()),
        )
            .prop_map(|(project, priority, classification, title, test_case)| Conditions {
                project,
                priority,
                classification,
                title,
                test_case,
            })
    }

    fn any_route() -> impl Strategy<Value = Route> {
        (any_conditions(), proptest::option::of("[A-Z]{1,3}")).prop_map(|(conditions, project)| Route {
            conditions,
            destination: match project {
                None => Destination::LeaveOut,
                Some(project) => {
                    Destination::Mirror(Placement { project: Some(project), ..Placement::default() })
                }
            },
        })
    }

    fn any_case() -> impl Strategy<Value = Case> {
        (
            proptest::option::of(proptest::sample::select(
                &["projects/shop-prod", "projects/lab", "organizations/1"][..],
            )),
            proptest::option::of(proptest::sample::select(&Priority::ALL[..])),
            proptest::sample::select(&["Disk is slow", "Network", ""][..]),
            any::<bool>(),
        )
            .prop_map(|(scope, priority, title, test_case)| {
                let usual = case();
                Case {
                    scope: scope.map(str::to_owned),
                    priority: priority.map_or(PriorityReading::Unset, PriorityReading::exactly),
                    title: title.to_owned(),
                    filing: Filing { test_case, ..usual.filing.clone() },
                    ..usual
                }
            })
    }

    proptest! {
        #[test]
        fn a_pattern_agrees_with_trying_everything(pattern in "[ab*?]{0,6}", text in "[abc]{0,8}") {
            let letters = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(Pattern::new(&pattern).matches(&text), naive(&letters(&pattern), &letters(&text)));
        }

        #[test]
        fn the_first_route_that_holds_decides_and_none_before_it_holds(
            routes in proptest::collection::vec(any_route(), 0..6),
            case in any_case(),
        ) {
            let table: RouteTable = routes.iter().cloned().collect();
            let holds = |route: &Route| route.conditions.hold(&Subject::from(&case));
            match table.decide(&case) {
                Some(decision) => {
                    prop_assert!(holds(&routes[decision.number - 1]));
                    prop_assert_eq!(decision.destination, &routes[decision.number - 1].destination);
                    prop_assert!(!routes[..decision.number - 1].iter().any(holds));
                }
                None => prop_assert!(!routes.iter().any(holds)),
            }
        }

        #[test]
        fn routes_behind_the_one_that_decides_do_not_matter(
            routes in proptest::collection::vec(any_route(), 1..6),
            more in proptest::collection::vec(any_route(), 0..4),
            case in any_case(),
        ) {
            let table: RouteTable = routes.iter().cloned().collect();
            let longer: RouteTable = routes.iter().chain(&more).cloned().collect();
            if let Some(decision) = table.decide(&case) {
                prop_assert_eq!(longer.decide(&case), Some(decision));
            }
        }
    }
}
