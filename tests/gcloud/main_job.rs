//! The main job's table with what App Engine has: a database on Google Cloud and the platform's task queue, in place of SQLite and
//! the embedded queue. One CRM is enough: no scenario knows where its mappings are kept.

use std::sync::Arc;

use async_trait::async_trait;
use casebridge::clock::SharedClock;

use crate::backend::GoogleCloud;
use crate::emulator::Kind;
use crate::harness::backend::Backend;
use crate::harness::crm::{Company, Crm, Description, Setup};
use crate::harness::jira::JiraKind;

mod firestore {
    use super::{JiraOn, Kind};
    use crate::main_job::{main_job_over, tests_of};

    main_job_over!(&JiraOn(Kind::FirestoreNative));
}

mod datastore_mode {
    use super::{JiraOn, Kind};
    use crate::main_job::{main_job_over, tests_of};

    main_job_over!(&JiraOn(Kind::FirestoreDatastoreMode));
}

/// The sandbox Jira, with a database of that kind and App Engine's queue beside it.
struct JiraOn(Kind);

#[async_trait]
impl Crm for JiraOn {
    async fn description(&self) -> Description {
        JiraKind.description().await
    }

    async fn open(&self, clock: &SharedClock, setup: &Setup) -> Company {
        JiraKind.open(clock, setup).await
    }

    fn backend(&self) -> Option<Arc<dyn Backend>> {
        Some(Arc::new(GoogleCloud::new(self.0)))
    }
}
