//! Limit on wrong tokens at the form to sign in. An address that sends many is refused for a while. All addresses together are only slowed
//! down: whoever could have everybody refused could lock the operators out.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Duration, Utc};

/// Number of wrong tokens within [`PERIOD`] after which an address is refused.
pub(super) const MOST_WRONG: usize = 5;
/// Number of wrong tokens of all addresses within [`PERIOD`] after which each attempt waits for [`DELAY`].
const MOST_WRONG_OF_ALL: usize = 20;
/// Time for which a wrong token counts.
const PERIOD: Duration = Duration::minutes(1);
/// Time that an attempt waits while all addresses together send too many wrong tokens.
pub(super) const DELAY: std::time::Duration = std::time::Duration::from_secs(1);
/// Number of addresses that are remembered.
const MOST_SENDERS: usize = 1024;

/// Address that sends tokens: of IPv6 the first 64 bits, which one network has for itself (RFC 4291, 2.5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Sender {
    V4(u32),
    V6(u64),
}

impl Sender {
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6(u64::try_from(address.to_bits() >> 64).unwrap_or_default()),
        }
    }
}

/// Decision about an attempt to sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admitted {
    /// Its token is looked at.
    Now,
    /// Its token is looked at after [`DELAY`].
    Later,
    /// Refused, as each further one for this number of seconds.
    NotBefore(i64),
}

/// Wrong tokens of the last minute.
#[derive(Debug, Default)]
struct Wrong {
    by_sender: HashMap<Sender, VecDeque<DateTime<Utc>>>,
    of_all: VecDeque<DateTime<Utc>>,
}

/// Returns true if a wrong token still counts. One from the future does not: the clock was set back.
fn counts(at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    at <= now && now - at < PERIOD
}

fn add(times: &mut VecDeque<DateTime<Utc>>, now: DateTime<Utc>, most: usize) {
    times.retain(|at| counts(*at, now));
    if times.len() == most {
        times.pop_front();
    }
    times.push_back(now);
}

/// Memory of wrong tokens at the form to sign in; bounded.
#[derive(Debug, Default)]
pub(in super::super) struct SignIns(Mutex<Wrong>);

impl SignIns {
    fn wrong(&self) -> MutexGuard<'_, Wrong> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides about an attempt, before its token is looked at. `sender` is `None` if the address is a proxy's: refused, it would lock out
    /// everybody behind that proxy.
    pub(super) fn admit(&self, sender: Option<Sender>, now: DateTime<Utc>) -> Admitted {
        let wrong = self.wrong();
        let of_sender = sender.and_then(|sender| wrong.by_sender.get(&sender));
        let counted: Vec<DateTime<Utc>> =
            of_sender.into_iter().flatten().copied().filter(|at| counts(*at, now)).collect();
        if let (MOST_WRONG.., Some(first)) = (counted.len(), counted.first()) {
            return Admitted::NotBefore((*first + PERIOD - now).num_seconds().max(0) + 1);
        }
        let all = wrong.of_all.iter().filter(|at| counts(**at, now)).count();
        if all >= MOST_WRONG_OF_ALL { Admitted::Later } else { Admitted::Now }
    }

    /// Notes a wrong token.
    pub(super) fn was_wrong(&self, sender: Option<Sender>, now: DateTime<Utc>) {
        let mut wrong = self.wrong();
        add(&mut wrong.of_all, now, MOST_WRONG_OF_ALL);
        let Some(sender) = sender else { return };
        wrong.by_sender.retain(|_, times| times.back().is_some_and(|at| counts(*at, now)));
        if wrong.by_sender.len() >= MOST_SENDERS && !wrong.by_sender.contains_key(&sender) {
            let oldest =
                wrong.by_sender.iter().min_by_key(|(_, times)| times.back()).map(|(sender, _)| *sender);
            if let Some(oldest) = oldest {
                wrong.by_sender.remove(&oldest);
            }
        }
        add(wrong.by_sender.entry(sender).or_default(), now, MOST_WRONG);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> DateTime<Utc> {
        "2026-03-01T10:00:00Z".parse().unwrap()
    }

    fn sender(text: &str) -> Option<Sender> {
        text.parse().ok().map(Sender::of)
    }

    #[test]
    fn an_address_with_five_wrong_tokens_within_a_minute_is_refused_until_the_first_is_a_minute_old() {
        let attempts = SignIns::default();
        let (stranger, operator) = (sender("203.0.113.7"), sender("198.51.100.1"));
        for second in 0..5 {
            let now = start() + Duration::seconds(10 * second);
            assert_eq!(attempts.admit(stranger, now), Admitted::Now, "{second}");
            attempts.was_wrong(stranger, now);
        }
        let now = start() + Duration::seconds(45);
        assert_eq!(attempts.admit(stranger, now), Admitted::NotBefore(16));
        assert_eq!(attempts.admit(sender("::ffff:203.0.113.7"), now), Admitted::NotBefore(16));
        assert_eq!(attempts.admit(operator, now), Admitted::Now);
        assert_eq!(attempts.admit(None, now), Admitted::Now, "nobody is refused for what a proxy passes on");
        assert_eq!(attempts.admit(stranger, start() + Duration::seconds(61)), Admitted::Now);
        assert_eq!(
            attempts.admit(stranger, start() - Duration::hours(1)),
            Admitted::Now,
            "the clock was set back"
        );
    }

    #[test]
    fn many_addresses_slow_all_down_and_lock_nobody_out() {
        let attempts = SignIns::default();
        for number in 0..20_u32 {
            attempts.was_wrong(Some(Sender::V4(number)), start());
        }
        let operator = sender("198.51.100.1");
        assert_eq!(attempts.admit(operator, start()), Admitted::Later);
        assert_eq!(attempts.admit(operator, start() + PERIOD), Admitted::Now);
        for number in 0..1_200_u32 {
            attempts.was_wrong(Some(Sender::V4(number)), start() + Duration::milliseconds(i64::from(number)));
        }
        assert_eq!(attempts.wrong().by_sender.len(), MOST_SENDERS);
        assert_eq!(attempts.wrong().of_all.len(), MOST_WRONG_OF_ALL);
    }

    #[test]
    fn a_network_of_ipv6_is_one_sender() {
        assert_eq!(sender("2001:db8:1:2::1"), sender("2001:db8:1:2:ffff::9"));
        assert_ne!(sender("2001:db8:1:2::1"), sender("2001:db8:1:3::1"));
        assert_ne!(sender("0.0.0.1"), sender("::1"));
    }
}
