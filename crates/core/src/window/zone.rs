//! Time zones by name, from the IANA database that is compiled in.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::time::Timestamp;

/// Shorter than any time between two changes of a zone's offset, so that a search in such steps misses none.
const STEP: Duration = Duration::from_secs(6 * 3600);

/// A time zone of the IANA database. Written and read by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Zone(Tz);

/// The text names no time zone of the IANA database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no time zone: write its IANA name, such as Europe/Amsterdam or UTC")]
pub struct UnknownZone(String);

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self(Tz::UTC);

    /// Names of all zones, aliases included.
    pub fn names() -> impl Iterator<Item = &'static str> {
        TZ_VARIANTS.iter().map(|zone| zone.name())
    }

    /// How far clocks in the zone are ahead of UTC at `at`, in seconds.
    pub fn offset(self, at: Timestamp) -> i32 {
        DateTime::from_timestamp(at.unix(), 0)
            .map_or(0, |utc| self.0.offset_from_utc_datetime(&utc.naive_utc()).fix().local_minus_utc())
    }

    /// The first moment after `from`, and not after `until`, at which clocks in the zone are set.
    pub(super) fn change(self, from: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let offset = self.offset(from);
        let mut before = from;
        while before < until {
            let next = before.plus(STEP).min(until);
            if self.offset(next) != offset {
                return Some(self.first_other(offset, before, next));
            }
            before = next;
        }
        None
    }

    /// The first moment after `same` with another offset than `offset`; there is one not after `other`.
    fn first_other(self, offset: i32, mut same: Timestamp, mut other: Timestamp) -> Timestamp {
        loop {
            let half = same.plus(other.since(same) / 2);
            if half <= same {
                return other;
            }
            if self.offset(half) == offset {
                same = half;
            } else {
                other = half;
            }
        }
    }
}

impl FromStr for Zone {
    type Err = UnknownZone;

    fn from_str(text: &str) -> Result<Self, UnknownZone> {
        text.parse().map(Self).map_err(|_| UnknownZone(text.chars().take(64).collect()))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
