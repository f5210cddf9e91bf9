//! No parser panics, whatever the bytes.

use proptest::prelude::*;

use crate::every::{FIXTURES, parse_with_all};

#[test]
fn every_parser_on_every_fixture_cut_at_every_byte() {
    for bytes in FIXTURES {
        for end in 0..=bytes.len() {
            parse_with_all(&bytes[..end]);
        }
    }
}

#[test]
fn oversized_input() {
    for byte in [b'\0', b' ', b'\n', b':', b'(', b')', b'9', b'-', b'\\', 0xe2, 0xff] {
        parse_with_all(&vec![byte; 1 << 16]);
    }
}

/// What kernel files are made of, so that random input gets past the first check of a parser.
fn kernel_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(
            &[
                " ",
                "\n",
                "\t",
                ":",
                "(",
                ")",
                "=",
                ".",
                "-",
                "kB",
                "max",
                "0::/",
                "memory",
                "MemTotal:",
                "MemAvailable:",
                "some ",
                "full ",
                "avg10=",
                "total=",
                "Uid:",
                "Threads:",
                "VmRSS:",
                "populated ",
                "anon ",
                "size ",
                "c ",
            ][..]
        )
        .prop_map(|text| text.as_bytes().to_vec()),
        any::<u64>().prop_map(|number| number.to_string().into_bytes()),
        (0_u64..300).prop_map(|number| number.to_string().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..80).prop_map(|pieces| pieces.concat())
}

/// A fixture with a few bytes replaced, put in or taken out.
fn damaged_fixture() -> impl Strategy<Value = Vec<u8>> {
    let damage = prop::collection::vec((any::<prop::sample::Index>(), 0..3_u8, any::<u8>()), 1..6);
    (prop::sample::select(&FIXTURES[..]), damage).prop_map(|(fixture, damage)| {
        let mut bytes = fixture.to_vec();
        for (at, kind, byte) in damage {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
            if bytes.is_empty() {
                break;
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn every_parser_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        parse_with_all(&bytes);
    }

    #[test]
    fn every_parser_on_kernel_like_text(bytes in kernel_like()) {
        parse_with_all(&bytes);
    }

    #[test]
    fn every_parser_on_damaged_files(bytes in damaged_fixture()) {
        parse_with_all(&bytes);
    }

    #[test]
    fn no_name_changes_the_columns_after_it(name in prop::collection::vec(1..=255_u8, 0..16)) {
        let tail = b") S 5 6 7 0 -1 0 0 0 8 0 0 0 0 0 20 0 9 0 10 11 12 13\n";
        let stat = hogwatch::observe::parse::parse_stat(&[b"4 (", name.as_slice(), tail].concat());
        let stat = stat.expect("well-formed");
        prop_assert_eq!((stat.pid, stat.ppid, stat.num_threads, stat.rss_pages), (4, 5, 9, 12));
        prop_assert_eq!(stat.comm, hogwatch::observe::parse::Comm::new(&name));
    }

    #[test]
    fn an_escaped_name_has_no_control_character(name in prop::collection::vec(any::<u8>(), 0..40)) {
        let shown = hogwatch::observe::parse::Escaped(&name).to_string();
        prop_assert!(!shown.chars().any(char::is_control), "{shown:?}");
    }
}
