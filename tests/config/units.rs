//! Percents, sizes and durations, hostile ones included.

use std::cmp::Ordering;
use std::time::Duration;

use hogwatch::config::Amount::{self, Bytes, Percent};
use hogwatch::config::units::{amount, duration, percent, size, write_duration, write_size};
use proptest::prelude::*;

#[test]
fn amounts() {
    let rows: &[(&str, Amount)] = &[
        ("5%", Percent(5.0)),
        ("0%", Percent(0.0)),
        ("0.5%", Percent(0.5)),
        ("100%", Percent(100.0)),
        ("99.999999999%", Percent(99.999_999_999)),
        ("007%", Percent(7.0)),
        ("800 MiB", Bytes(800 << 20)),
        ("800MiB", Bytes(800 << 20)),
        ("4 GiB", Bytes(4 << 30)),
        ("4G", Bytes(4 << 30)),
        ("512K", Bytes(512 << 10)),
        ("1.5 GiB", Bytes(3 << 29)),
        ("0.000000001 GiB", Bytes(1)),
        ("0 B", Bytes(0)),
        ("17 B", Bytes(17)),
        ("4096 TiB", Bytes(1 << 52)),
    ];
    for (text, expected) in rows {
        assert_eq!(amount(text).as_ref(), Ok(expected), "{text}");
    }
}

#[test]
fn hostile_amounts_are_refused() {
    let rows: &[(&str, &str)] = &[
        ("", "the value is empty"),
        ("5", "\"5\" has no unit"),
        ("%", "does not begin with a number"),
        ("5%%", "is not a percent"),
        ("5 %", "has a blank before %"),
        ("5\u{a0}%", "has a blank before %"),
        (" 5%", "blank at its beginning or end"),
        ("5% ", "blank at its beginning or end"),
        ("5%\n", "blank at its beginning or end"),
        ("-5%", "has a sign"),
        ("+5%", "has a sign"),
        ("\u{2212}5%", "does not begin with a number"),
        ("NaN%", "does not begin with a number"),
        ("inf%", "does not begin with a number"),
        ("1e400%", "is not a percent"),
        ("1e2%", "is not a percent"),
        ("0x10", "has the unknown unit \"x10\""),
        ("0x10%", "is not a percent"),
        ("١%", "does not begin with a number in the digits 0-9"),
        ("５%", "does not begin with a number in the digits 0-9"),
        ("1_000 MiB", "has the unknown unit \"_000 MiB\""),
        ("1,5%", "is not a percent"),
        (".5%", "does not begin with a number"),
        ("5.%", "does not begin with a number such as"),
        ("5..5%", "does not begin with a number such as"),
        ("5.0000000001%", "at most 9 digits after the point"),
        ("100.1%", "is more than 100%"),
        ("99999999999%", "is more than 100%"),
        ("99999999999 GiB", "more memory than any machine has"),
        ("4097 TiB", "more memory than any machine has"),
        ("340282366920938463463374607431768211455 B", "is too large"),
        ("34028236692093846346337460743176821145 TiB", "more memory than any machine has"),
        ("999999999999999999999999999999999999999999 B", "is too large"),
        ("4  GiB", "has a blank too many"),
        ("4\tGiB", "has a blank too many"),
        ("4 GB", "has the unknown unit \"GB\""),
        ("4 gib", "has the unknown unit \"gib\""),
        ("4 GiBs", "has the unknown unit \"GiBs\""),
        ("five%", "does not begin with a number"),
        ("5\0%", "is not a percent"),
    ];
    for (text, expected) in rows {
        let bad = amount(text).expect_err(text);
        assert!(bad.message.contains(expected), "{text:?}: {}", bad.message);
        assert!(bad.help.is_some(), "{text:?}");
    }
}

#[test]
fn the_unit_that_was_meant_is_suggested() {
    let help = |text| amount(text).unwrap_err().help.unwrap();
    assert_eq!(help("4 GB"), "write \"4 GiB\"");
    assert_eq!(help("1.5mb"), "write \"1.5 MiB\"");
    assert_eq!(help("4 gib"), "write \"4 GiB\"");
    assert_eq!(help("4  GiB"), "write \"4 GiB\"");
    assert_eq!(help("4 blocks"), "the unit is % or one of B, KiB, MiB, GiB, TiB");
    let help = |text| duration(text).unwrap_err().help.unwrap();
    assert_eq!(help("10 s"), "write \"10s\"");
    assert_eq!(help("10sec"), "write \"10s\"");
    assert_eq!(help("5 minutes"), "write \"5m\"");
    assert_eq!(help("1h30m"), "write one number and one unit, such as \"90m\"");
    assert_eq!(help("1w"), "the unit is one of ms, s, m, h, d");
}

#[test]
fn durations() {
    let rows: &[(&str, Duration)] = &[
        ("0s", Duration::ZERO),
        ("1ms", Duration::from_millis(1)),
        ("10s", Duration::from_secs(10)),
        ("1.5h", Duration::from_secs(5400)),
        ("0.25s", Duration::from_millis(250)),
        ("10m", Duration::from_secs(600)),
        ("10min", Duration::from_secs(600)),
        ("365d", Duration::from_secs(365 * 86_400)),
    ];
    for (text, expected) in rows {
        assert_eq!(duration(text).as_ref(), Ok(expected), "{text}");
    }
    for text in [
        "",
        "0",
        "10",
        "s",
        "10 s",
        "-1s",
        "1e3s",
        "NaNs",
        "infs",
        "1h30m",
        "366d",
        "99999999999999999999d",
        "1S",
        "1µs",
        "٣s",
        "0x1s",
    ] {
        assert!(duration(text).is_err(), "{text}");
    }
}

#[test]
fn percents_and_sizes_alone_refuse_each_other() {
    assert!(percent("4 GiB").is_err());
    assert!(size("5%").is_err());
    assert_eq!(size("4G"), Ok(4 << 30));
    assert_eq!(percent("60%"), Ok(60.0));
}

#[test]
fn an_amount_of_a_total() {
    let gib = 1 << 30;
    assert_eq!(Percent(5.0).of(20 * gib), gib);
    assert_eq!(Percent(0.0).of(gib), 0);
    assert_eq!(Percent(100.0).of(gib), gib);
    assert_eq!(Percent(5.0).of(0), 0);
    assert_eq!(Bytes(7).of(gib), 7);
    assert_eq!(Percent(5.0).compare(Percent(3.0)), Some(Ordering::Greater));
    assert_eq!(Bytes(5).compare(Bytes(5)), Some(Ordering::Equal));
    assert_eq!(Bytes(5).compare(Percent(5.0)), None);
}

proptest! {
    #[test]
    fn what_is_written_reads_back(bytes in 0..=1u64 << 52, millis in 0..=365 * 86_400_000u64, hundredths in 0..=10_000u16) {
        prop_assert_eq!(size(&write_size(bytes)), Ok(bytes));
        let time = Duration::from_millis(millis);
        prop_assert_eq!(duration(&write_duration(time)), Ok(time));
        let share = Percent(f64::from(hundredths) / 100.0);
        prop_assert_eq!(amount(&share.to_string()), Ok(share));
    }
}
