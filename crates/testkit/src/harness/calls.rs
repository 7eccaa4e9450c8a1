//! Calls that a comment takes, counted in virtual time.

use casebridge::cases::Hint;
use casebridge::entities::{CompanyCaseId, FirstSeen, GoogleCaseName, Side, Sides};
use casebridge::sandbox::faults::Call;
use casebridge::tasks::hint;
use chrono::Duration;

use super::crm::Crm;
use super::{Options, World};

/// Returns the calls to CSAPI and to the CRM in the hour after a comment on a case that is in step, searches for changed cases left out,
/// and those of an hour without a comment.
pub async fn of_a_comment(crm: &dyn Crm, say: Side) -> [usize; 2] {
    more_than_idle(crm, say, false).await
}

/// The same for a comment that push announces, with polls every five minutes.
pub async fn of_an_announced_comment(crm: &dyn Crm, say: Side) -> [usize; 2] {
    more_than_idle(crm, say, true).await
}

async fn more_than_idle(crm: &dyn Crm, say: Side, push: bool) -> [usize; 2] {
    let (busy, idle) = (in_an_hour(crm, Some(say), push).await, in_an_hour(crm, None, push).await);
    [busy[0].saturating_sub(idle[0]), busy[1].saturating_sub(idle[1])]
}

async fn in_an_hour(crm: &dyn Crm, say: Option<Side>, push: bool) -> [usize; 2] {
    let every = push.then(|| Duration::minutes(5));
    let poll_every = Sides { google: every, company: every };
    let world = World::with(crm, Options { poll_every, ..Options::default() }).await;
    let (google, company) = world.pair().await;
    // The pair leaves both windows.
    world.run_for(Duration::minutes(45)).await;
    new(&world);
    match say {
        Some(Side::Google) => drop(world.google_says(&google, "It happens again")),
        Some(Side::Company) => drop(world.company_says(&company, "It happens again").await),
        None => {}
    }
    if let Some(side) = say.filter(|_| push) {
        let case = match side {
            Side::Google => FirstSeen::Google(GoogleCaseName::parse(&google).unwrap()),
            Side::Company => FirstSeen::Company(CompanyCaseId::parse(&company).unwrap()),
        };
        hint::take_all(&world.deps, side, &[Hint { case, item: None, user: None }]).await.unwrap();
    }
    world.run_for(Duration::hours(1)).await;
    let copies = (world.copies_in_crm(&company).await.len(), world.copies_at_google(&google).len());
    assert_eq!(copies, (usize::from(say == Some(Side::Google)), usize::from(say == Some(Side::Company))));
    // A poll that finds a case reads one page more than one that finds none.
    new(&world).map(|calls| calls.iter().filter(|call| !call.path.contains("search")).count())
}

/// Returns the calls to CSAPI, and those to the CRM, since the last time.
pub fn new(world: &World) -> [Vec<Call>; 2] {
    let calls = [world.csapi.faults().calls(), world.company_faults().calls()];
    world.csapi.faults().clear_calls();
    world.company_faults().clear_calls();
    calls
}
