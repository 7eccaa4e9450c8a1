//! A write whose answer was lost is decided about when it can no longer take effect (`R13`: unknown write outcome). Over the embedded queue.

use std::time::Duration as StdDuration;

use casebridge::clock::Clock as _;
use casebridge::entities::Side;
use casebridge::sandbox::faults::{Effect, Fault};
use casebridge_testkit::harness::crm::{Crm, Setup};
use casebridge_testkit::harness::desk::Call;
use casebridge_testkit::harness::jira::JiraKind;
use casebridge_testkit::harness::servicenow::ServiceNowKind;
use casebridge_testkit::harness::zendesk::ZendeskKind;
use casebridge_testkit::harness::{Options, World};
use chrono::Duration;

#[tokio::test]
async fn what_waits_for_a_lost_answer_is_carried_when_its_window_ends() {
    for crm in [&JiraKind as &dyn Crm, &ZendeskKind, &ServiceNowKind] {
        plays(crm).await;
    }
}

async fn plays(crm: &dyn Crm) {
    // The queue's own pauses double (10, 20, 40 s), and would end at 70 s.
    let setup = Setup { timeout: StdDuration::from_secs(40), ..Setup::default() };
    let world = World::with(crm, Options { setup, ..Options::default() }).await;
    let (case, company) = world.pair().await;
    for to in Side::BOTH {
        let lost = Fault::always(Effect::HangUpBefore).times(1);
        match to {
            Side::Google => {
                world.csapi.faults().add(lost.on("POST", "/comment"));
                world.company_says(&company, "lost").await;
            }
            Side::Company => {
                world.trouble(Call::Comment, lost);
                world.google_says(&case, "lost");
            }
        }
        let limit = world.clock().now() + Duration::minutes(20);
        while world.mapping().await.pending.is_empty() {
            assert!(world.clock().now() < limit, "no write to {to}");
            world.run_for(Duration::seconds(1)).await;
        }
        let attempted_at = world.mapping().await.pending[0].attempted_at;
        let window = world.deps.systems[to].capabilities().in_flight_window;
        let copies = async || match to {
            Side::Google => world.copies_at_google(&case),
            Side::Company => world.copies_in_crm(&company).await,
        };
        while copies().await.is_empty() {
            assert!(world.clock().now() < limit, "not carried to {to}: {:#?}", world.mapping().await);
            world.run_for(Duration::seconds(1)).await;
        }
        assert_eq!(copies().await, ["lost"], "{to}");
        let took = world.clock().now() - attempted_at;
        assert!(took <= window + Duration::seconds(5), "{to}: {took} after a window of {window}");
        world.settle().await;
    }
    world.assert_quiet().await;
}
