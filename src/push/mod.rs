//! Push: messages in which a system says that a case may have changed. They are verified and read here; [`hint`](crate::tasks::hint) does what
//! they ask for. Nothing of a message is believed or logged but the IDs that it names.

mod company;
mod google;
pub mod pull;

use std::sync::Arc;

pub use company::CompanyReceiver;
pub use google::{GoogleReceiver, GoogleReceiverSettings};
pub use pull::{PullSettings, PullSubscription, Pulled};

use crate::cases::Check;

/// Maximum size of a message, in bytes. Jira sends whole issues.
pub const MAX_MESSAGE: usize = 1024 * 1024;

/// Receivers of both sides; `None` if push is not configured for a side.
#[derive(Default)]
pub struct Receivers {
    /// Pub/Sub's push messages about Google cases.
    pub google: Option<GoogleReceiver>,
    /// Webhooks of the CRM.
    pub company: Option<CompanyReceiver>,
    /// Pub/Sub subscription that messages about Google cases are pulled from.
    pub pull: Option<Arc<PullSubscription>>,
}

impl Receivers {
    /// Checks what messages are pulled from.
    pub async fn check(&self) -> Vec<Check> {
        match &self.pull {
            Some(subscription) => vec![subscription.check().await],
            None => Vec::new(),
        }
    }
}
