//! Answers of issuers that were refused: certificates that nobody can use.
//!
//! An issuer that answers is asked again, and each answer costs it a certificate. So whose answer was refused is asked
//! after the entry's other issuers, and once as many answers were refused within one lifetime as it may see issuances,
//! the next attempts keep a distance. Certificates that are not valid at our time are not counted here: the issuer's
//! [breaker](crate::breaker) bounds them for all entries together.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::chains::ISSUANCES_PER_LIFETIME;
use crate::name::IssuerName;
use crate::time::Timestamp;

/// Answers that are remembered: more than are counted, and more than an entry has issuers.
const REMEMBERED: usize = 16;
/// The distance is a lifetime divided by this.
const SHARE: u32 = 20;
/// Longest distance while a certificate is valid.
const LONGEST: Duration = Duration::from_secs(86_400);
/// Longest distance when nothing is valid: another of the entry's issuers may be back, or this one mended.
const LONGEST_EXPIRED: Duration = Duration::from_secs(300);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Answer {
    issuer: IssuerName,
    at: Timestamp,
}

/// Those since a certificate was installed last, or since the manifest's wishes changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedAnswers {
    /// The newest last.
    answers: Vec<Answer>,
    /// No issuer is asked again before that time, except at an operator's request.
    not_before: Option<Timestamp>,
}

impl RefusedAnswers {
    /// Another one, by `issuer`, for an entry whose certificates have this `lifetime` and whose present one is valid
    /// until `valid_until`.
    pub(super) fn note(
        &mut self,
        issuer: IssuerName,
        lifetime: Duration,
        valid_until: Option<Timestamp>,
        now: Timestamp,
    ) {
        self.answers.push(Answer { issuer, at: now });
        self.answers.drain(..self.answers.len().saturating_sub(REMEMBERED));
        let recent = self.answers.iter().filter(|answer| answer.at.plus(lifetime) > now).count();
        let many = recent >= ISSUANCES_PER_LIFETIME;
        self.not_before = many.then(|| now.plus(distance(lifetime, valid_until, now)));
    }

    /// `issuers` in the order in which they are asked: those whose answers were refused come last, and of these the
    /// one first that has not been asked for longest.
    pub fn preferred<'i>(&self, issuers: &'i [IssuerName]) -> Vec<&'i IssuerName> {
        let mut all: Vec<&IssuerName> = issuers.iter().collect();
        all.sort_by_key(|issuer| self.answers.iter().rposition(|answer| answer.issuer == **issuer));
        all
    }

    /// Before when no issuer is asked again, if a distance is to be kept. What was valid for long when it was noted may
    /// have been lost since.
    pub(super) fn not_before(&self, valid_until: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        let lost = valid_until.is_none_or(|end| end <= now);
        self.not_before.map(|at| if lost { at.min(now.plus(LONGEST_EXPIRED)) } else { at })
    }

    /// Somebody asks for it, or has changed something: no distance is kept from the answers so far.
    pub(super) const fn ask_again(&mut self) {
        self.not_before = None;
    }

    /// The clock was set back; see [`Memory::rewind`](super::Memory::rewind). True when something lay ahead.
    pub(super) fn rewind(&mut self, now: Timestamp) -> bool {
        let ahead = self.answers.last().map_or(Duration::ZERO, |newest| newest.at.since(now));
        self.not_before = self.not_before.map(|at| at.minus(ahead));
        for answer in &mut self.answers {
            answer.at = answer.at.min(now);
        }
        !ahead.is_zero()
    }
}

/// How far apart attempts are that come to nothing each time. Towards the end of a certificate each comes after half of
/// what is left, so that an issuer that is mended is asked once more in time, whenever that is.
fn distance(lifetime: Duration, valid_until: Option<Timestamp>, now: Timestamp) -> Duration {
    let left = valid_until.map_or(Duration::ZERO, |end| end.since(now));
    let share = lifetime / SHARE;
    if left.is_zero() { share.min(LONGEST_EXPIRED) } else { share.min(LONGEST).min(left / 2) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix(1_000_000);
    const DAY: Duration = Duration::from_secs(86_400);

    fn issuers(names: &str) -> Vec<IssuerName> {
        names.split(' ').map(|name| name.parse().unwrap()).collect()
    }

    fn order(refused: &RefusedAnswers, names: &str) -> String {
        let issuers = issuers(names);
        refused.preferred(&issuers).iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" ")
    }

    fn after(answers: &str) -> RefusedAnswers {
        let mut refused = RefusedAnswers::default();
        for issuer in issuers(answers) {
            refused.note(issuer, DAY, None, NOW);
        }
        refused
    }

    #[test]
    fn whose_answer_was_refused_is_asked_after_the_others_and_the_newest_of_them_last() {
        assert_eq!(order(&RefusedAnswers::default(), "x y z"), "x y z");
        for (answers, asked) in
            [("x", "y z x"), ("x y", "z x y"), ("x y z", "x y z"), ("x y x", "z y x"), ("other", "x y z")]
        {
            assert_eq!(order(&after(answers), "x y z"), asked, "{answers}");
        }
    }

    #[test]
    fn no_more_is_remembered_than_is_needed() {
        let refused = after(["x"; 1000].join(" ").as_str());
        assert_eq!(refused.answers.len(), REMEMBERED);
    }

    #[test]
    fn a_distance_is_kept_after_six_within_one_lifetime_and_half_of_what_is_left_at_the_end() {
        for (lifetime, left, wanted) in [
            (86_400, Some(30_000), 4320),
            (86_400, Some(100), 50),
            (86_400, Some(0), 300),
            (86_400, None, 300),
            (300, Some(100), 15),
            (31_536_000, Some(10_000_000), 86_400),
        ] {
            let (lifetime, until) =
                (Duration::from_secs(lifetime), left.map(|left| NOW.plus(Duration::from_secs(left))));
            let mut refused = RefusedAnswers::default();
            for number in 1..=ISSUANCES_PER_LIFETIME {
                assert_eq!(refused.not_before(until, NOW), None, "{number}");
                refused.note("x".parse().unwrap(), lifetime, until, NOW);
            }
            let kept = |until| refused.not_before(until, NOW).unwrap().since(NOW).as_secs();
            assert_eq!(kept(until), wanted, "{lifetime:?} {left:?}");
            assert!(kept(None) <= 300, "{lifetime:?} {left:?}: it was lost meanwhile");
        }
    }

    #[test]
    fn what_is_long_ago_does_not_count() {
        let mut refused = after("x x x x x x");
        refused.note("x".parse().unwrap(), DAY, None, NOW.plus(2 * DAY));
        assert_eq!(refused.not_before(None, NOW.plus(2 * DAY)), None);
    }

    #[test]
    fn a_clock_that_is_set_back_lengthens_no_distance() {
        let mut refused = after("x x x x x x");
        let back = NOW.minus(2 * DAY);
        assert!(refused.rewind(back));
        assert_eq!(refused.not_before(None, back), Some(back.plus(LONGEST_EXPIRED)));
        assert!(!refused.rewind(NOW));
        assert_eq!(refused.not_before(None, back), Some(back.plus(LONGEST_EXPIRED)), "nothing lies ahead");
    }
}
