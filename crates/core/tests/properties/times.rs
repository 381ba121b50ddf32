//! Points in time: exact arithmetic that saturates, and a text that is read back.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use phoenix_core::time::Timestamp;
use proptest::prelude::*;

fn clamp(seconds: i128) -> i64 {
    i64::try_from(seconds.clamp(i64::MIN.into(), i64::MAX.into())).unwrap()
}

proptest! {
    #[test]
    fn moving_and_measuring_agree_with_exact_arithmetic(at: i64, other: i64, by: u64, nanos in 0_u32..1_000_000_000) {
        let (time, by) = (Timestamp::from_unix(at), Duration::new(by, nanos));
        let step = i128::from(by.as_secs()).min(i64::MAX.into());
        prop_assert_eq!(time.plus(by).unix(), clamp(i128::from(at) + step));
        prop_assert_eq!(time.minus(by).unix(), clamp(i128::from(at) - step));
        let passed = (i128::from(at) - i128::from(other)).clamp(0, i64::MAX.into());
        prop_assert_eq!(i128::from(time.since(Timestamp::from_unix(other)).as_secs()), passed);
        prop_assert_eq!(time.cmp(&Timestamp::from_unix(other)), at.cmp(&other));
    }

    #[test]
    fn text_is_rfc_3339_in_utc_and_is_read_back(at in -62_135_596_800_i64..253_402_300_800) {
        let time = Timestamp::from_unix(at);
        let expected = DateTime::<Utc>::from_timestamp(at, 0).unwrap().to_rfc3339_opts(SecondsFormat::Secs, true);
        prop_assert_eq!(time.to_string(), expected.as_str());
        prop_assert_eq!(expected.parse(), Ok(time));
        let json = serde_json::to_string(&time).unwrap();
        prop_assert_eq!(&json, &format!("\"{expected}\""));
        prop_assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), time);
    }

    #[test]
    fn any_offset_names_the_same_moment(at in 0_i64..4_000_000_000, minutes in -1439_i32..1440) {
        let zone = chrono::FixedOffset::east_opt(minutes * 60).unwrap();
        let text = DateTime::<Utc>::from_timestamp(at, 0).unwrap().with_timezone(&zone).to_rfc3339();
        prop_assert_eq!(text.parse(), Ok(Timestamp::from_unix(at)));
    }

    #[test]
    fn no_text_makes_it_panic(text: String, at: i64) {
        let _ = text.parse::<Timestamp>();
        let _ = Timestamp::from_unix(at).to_string();
    }
}
