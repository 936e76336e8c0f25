//! The session machine against a toy target, in memory.

use std::collections::VecDeque;
use std::sync::Arc;

use daypass_access::action::{Action, Class, ClassSet, Risk, RiskSet};
use daypass_access::id::{GrantId, PersonId, RoleId};
use daypass_access::pipeline::Right;
use daypass_ledger::receipt::Covered;

use super::*;
use crate::classify::Dialect;
use crate::frame::{Side, first};
use crate::message::{Back, Front};
use crate::write;

mod toy;

use toy::World;

fn rows(world: &World) -> usize {
    world.shown.iter().filter(|tag| **tag == b'D').count()
}

#[test]
fn i09_a_read_is_forwarded_at_once_and_shown_when_durable() {
    let mut world = World::new(&[Class::Read]);
    world.client(|o| write::query(o, b"read 1"));
    world.settle();
    assert_eq!(world.at_target, ["Q read 1"]);
    assert_eq!(rows(&world), 0, "the record is not durable yet");
    world.cover();
    assert_eq!(String::from_utf8(world.shown.clone()).unwrap(), "TDCZ");
    assert_eq!(world.log, ["1 intent query read 1", "1 done SELECT 1 rows 1"]);
}

#[test]
fn i09_a_write_is_forwarded_when_durable() {
    let mut world = World::new(&[Class::Write]);
    world.client(|o| write::query(o, b"write 1"));
    world.settle();
    assert_eq!(world.at_target, [""; 0]);
    world.cover();
    assert_eq!(world.at_target, ["Q write 1"]);
    assert_eq!(String::from_utf8(world.shown.clone()).unwrap(), "TDCZ");
}

#[test]
fn i09_gate_always_holds_reads_back_too() {
    let mut world = World::new(&[Class::Read]);
    world.gate_always();
    world.client(|o| write::query(o, b"read 1"));
    world.settle();
    assert_eq!(world.at_target, [""; 0]);
    world.cover();
    assert_eq!(world.at_target, ["Q read 1"]);
}

#[test]
fn i06_a_denied_query_never_reaches_the_target_and_the_session_goes_on() {
    let mut world = World::new(&[Class::Read]);
    world.client(|o| {
        write::query(o, b"write 1");
        write::query(o, b"read 2");
    });
    world.settle();
    world.cover();
    assert_eq!(world.at_target, ["Q daypass denied this statement", "Q read 2"]);
    assert_eq!(String::from_utf8(world.shown.clone()).unwrap(), "EZTDCZ");
    assert_eq!(world.errors, ["42501 denied: `write` is not granted to you on `orders`"]);
    assert_eq!(world.log[0], "1 denied write 1");
}

#[test]
fn a_pipeline_shares_one_wait_and_an_error_skips_to_the_sync() {
    let mut world = World::new(&[Class::Read, Class::Write]);
    world.client(|o| {
        write::parse(o, b"", b"fail", &[]);
        write::bind(o, b"", b"", &[]);
        write::execute(o, b"", 0);
        write::parse(o, b"", b"write 2", &[]);
        write::bind(o, b"", b"", &[Some(b"7")]);
        write::execute(o, b"", 0);
        write::sync(o);
        write::parse(o, b"", b"read 3", &[]);
        write::bind(o, b"", b"", &[]);
        write::describe(o, b'P', b"");
        write::execute(o, b"", 0);
        write::sync(o);
    });
    world.settle();
    world.cover();
    assert_eq!(String::from_utf8(world.shown.clone()).unwrap(), "12EZ12TDCZ");
    assert_eq!(world.turns_waiting, 1, "everything was recorded before anything was waited for");
    insta::assert_snapshot!(world.log.join("\n"), @r"
    1 intent prepare fail
    2 intent execute fail
    3 intent prepare write 2
    4 intent execute write 2 [7]
    5 intent prepare read 3
    6 intent execute read 3
    2 failed 22012
    3 skipped
    4 skipped
    6 done SELECT 1 rows 1
    ");
}

#[test]
fn a_denied_execute_of_a_pipeline_fails_the_pipeline() {
    let mut world = World::new(&[Class::Read]);
    world.client(|o| {
        write::parse(o, b"a", b"write 1", &[]);
        write::bind(o, b"", b"a", &[]);
        write::execute(o, b"", 0);
        write::sync(o);
        write::bind(o, b"", b"a", &[]);
        write::sync(o);
    });
    world.settle();
    world.cover();
    assert_eq!(String::from_utf8(world.shown.clone()).unwrap(), "EZEZ");
    assert_eq!(world.errors[1], "26000 prepared statement \"a\" does not exist");
    assert!(world.at_target.iter().all(|m| !m.contains("write")), "{:?}", world.at_target);
}

#[test]
fn sql_level_execute_needs_what_its_statement_needs() {
    let mut world = World::new(&[Class::Session, Class::Read]);
    world.client(|o| {
        write::query(o, b"prepare a read 1");
        write::query(o, b"execute a");
        write::query(o, b"execute b");
    });
    world.settle();
    world.cover();
    assert_eq!(world.at_target[1], "Q execute a");
    assert_eq!(world.errors, ["26000 prepared statement \"b\" does not exist"]);
    assert_eq!(world.log[1], "2 intent query execute a\n-- runs:\nread 1");
}

#[test]
fn a_portal_read_in_parts_is_decided_each_time() {
    let mut world = World::new(&[Class::Read]);
    world.client(|o| {
        write::parse(o, b"", b"read 1", &[]);
        write::bind(o, b"p", b"", &[]);
        write::execute(o, b"p", 1);
        write::flush(o);
    });
    world.settle();
    world.cover();
    assert_eq!(String::from_utf8(world.shown.clone()).unwrap(), "12Ds");
    world.take_all_rights();
    world.client(|o| {
        write::execute(o, b"p", 1);
        write::sync(o);
    });
    world.settle();
    world.cover();
    assert_eq!(String::from_utf8(world.shown.clone()).unwrap(), "12DsEZ");
    assert_eq!(world.errors, ["42501 denied: no grant on `orders` holds now"]);
    assert_eq!(world.log[2..], ["2 suspended  rows 1", "2 denied read 1"]);
}

#[test]
fn copy_in_with_a_sync_ahead_is_counted_and_hashed() {
    let mut world = World::new(&[Class::CopyIn, Class::Read]);
    world.client(|o| {
        write::parse(o, b"", b"copyin", &[]);
        write::bind(o, b"", b"", &[]);
        write::execute(o, b"", 0);
        write::sync(o);
    });
    world.settle();
    world.cover();
    assert_eq!(String::from_utf8(world.shown.clone()).unwrap(), "12G");
    world.client(|o| {
        write::copy_data(o, b"one\n");
        write::copy_data(o, b"two\n");
        write::copy_done(o);
        write::sync(o);
        write::query(o, b"read 1");
    });
    world.settle();
    world.cover();
    assert_eq!(String::from_utf8(world.shown.clone()).unwrap(), "12GCZTDCZ");
    assert!(world.log.contains(&"2 done COPY 2 rows 2 copied 8".to_owned()), "{:?}", world.log);
}

#[test]
fn copy_data_without_an_action_goes_nowhere() {
    let mut world = World::new(&[Class::Read]);
    world.client(|o| {
        write::copy_data(o, b"one\n");
        write::copy_done(o);
        write::query(o, b"read 1");
    });
    world.settle();
    world.cover();
    assert_eq!(world.at_target, ["Q read 1"]);
}

#[test]
fn a_held_action_waits_and_goes_on_when_released() {
    let mut world = World::new(&[Class::Write, Class::Read]);
    world.client(|o| {
        write::query(o, b"risky");
        write::query(o, b"read 2");
    });
    world.settle();
    world.cover();
    assert_eq!(world.at_target, [""; 0]);
    assert_eq!(String::from_utf8(world.shown.clone()).unwrap(), "N");
    assert_eq!(world.session.held_news().unwrap().number, 1);
    assert!(world.session.held_news().is_none());
    world.release();
    assert_eq!(world.at_target, [""; 0], "released, but not durable yet");
    world.cover();
    assert_eq!(world.at_target, ["Q risky", "Q read 2"]);
    world.cover();
    assert_eq!(String::from_utf8(world.shown.clone()).unwrap(), "NTDCZTDCZ");
}

#[test]
fn a_held_action_that_is_refused_or_cancelled_fails_alone() {
    for (why, error) in [
        (Some("refused by alice"), "42501 not released: refused by alice"),
        (None, "57014 canceling statement due to user request, while it was held"),
    ] {
        let mut world = World::new(&[Class::Write, Class::Read]);
        world.client(|o| {
            write::query(o, b"risky");
            write::query(o, b"read 2");
        });
        world.settle();
        world.refuse(why);
        world.cover();
        assert_eq!(String::from_utf8(world.shown.clone()).unwrap(), "NEZTDCZ");
        assert_eq!(world.errors, [error]);
        assert!(world.at_target.iter().all(|m| !m.contains("risky")));
    }
}

#[test]
fn what_has_no_outcome_gets_one_at_the_end() {
    let mut world = World::new(&[Class::Read]);
    world.target_is_stuck = true;
    world.client(|o| write::query(o, b"read 1"));
    world.settle();
    world.end();
    assert_eq!(world.log[1], "1 unknown  rows 0");
}

#[test]
fn an_end_says_so_even_when_the_client_breaks_the_protocol() {
    let mut world = World::new(&[Class::Read]);
    world.session.client_in().extend_from_slice(b"p\0\0\0\x05x");
    let stop = world.turn().unwrap_err();
    assert!(matches!(stop, Stop::Client(_)));
}

#[test]
fn a_prepare_that_failed_does_not_lend_its_text_to_the_name() {
    let mut world = World::new(&[Class::Session, Class::Read, Class::Write]);
    world.client(|o| {
        write::parse(o, b"a", b"risky", &[]);
        write::sync(o);
        write::query(o, b"prepare a read 1");
        write::bind(o, b"", b"a", &[]);
        write::execute(o, b"", 0);
        write::sync(o);
    });
    world.settle();
    world.cover();
    assert!(world.session.held().is_some(), "the target kept the old statement: {:?}", world.log);
}

#[test]
fn names_that_the_target_cuts_are_one_name() {
    let mut world = World::new(&[Class::Read, Class::Write]);
    let name = |end: &str| format!("{}{end}", "x".repeat(63)).into_bytes();
    world.client(|o| {
        write::parse(o, &name("a"), b"read 1", &[]);
        write::close(o, b'S', &name("b"));
        write::parse(o, &name("c"), b"risky", &[]);
        write::sync(o);
        write::bind(o, b"", &name("a"), &[]);
        write::execute(o, b"", 0);
        write::sync(o);
    });
    world.settle();
    world.cover();
    assert!(world.session.held().is_some(), "{:?}", world.log);
}

#[test]
fn names_that_hang_on_encodings_are_refused() {
    let mut world = World::new(&[Class::Read]);
    world.client(|o| {
        write::parse(o, "é".as_bytes(), b"read 1", &[]);
        write::sync(o);
        write::parse(o, b"a", b"read 2", &[]);
        write::bind(o, "é".as_bytes(), b"a", &[]);
        write::sync(o);
    });
    world.settle();
    world.cover();
    assert_eq!(world.errors, ["42501 denied: a name that is not ASCII"; 2]);
    let mut classifier = crate::classify::Classifier::new();
    for text in ["PREPARE \"é\" AS SELECT 1", "EXECUTE \"é\""] {
        let statement = classifier.statement(text.as_bytes(), Dialect::default());
        assert!(statement.action.classes.contains(Class::Admin), "{text}");
        assert!(statement.prepares.is_empty() && statement.runs.is_empty());
    }
}

#[test]
fn what_a_fetch_could_run_is_held_when_its_portal_gets_a_name() {
    let mut world = World::new(&[Class::Read, Class::Write]);
    world.client(|o| {
        write::parse(o, b"", b"risky", &[]);
        write::bind(o, b"p", b"", &[]);
        write::sync(o);
    });
    world.settle();
    world.cover();
    assert!(world.session.held().is_some());
    assert_eq!(world.at_target, ["P risky"]);
    world.release();
    assert_eq!(world.at_target, ["P risky"], "released, but not durable yet");
    world.cover();
    assert_eq!(world.at_target, ["P risky", "B", "S"]);
    assert!(world.log.contains(&"2 intent released risky".to_owned()), "{:?}", world.log);
}

#[test]
fn a_sync_in_copy_data_does_not_reach_the_target() {
    let mut world = World::new(&[Class::CopyIn, Class::Read]);
    world.client(|o| write::query(o, b"copyin"));
    world.settle();
    world.cover();
    world.client(|o| {
        write::copy_data(o, b"one\n");
        write::sync(o);
        write::copy_done(o);
        write::query(o, b"read 1");
    });
    world.settle();
    world.cover();
    assert!(!world.at_target.contains(&"S".to_owned()), "{:?}", world.at_target);
    assert_eq!(String::from_utf8(world.shown.clone()).unwrap(), "GCZTDCZ");
}

#[test]
fn i09_a_description_too_long_to_keep_ends_with_its_last_byte() {
    let mut world = World::new(&[Class::Read]);
    world.target_is_stuck = true;
    world.client(|o| {
        write::parse(o, b"", b"read 1", &[]);
        write::bind(o, b"", b"", &[]);
        write::describe(o, b'P', b"");
        write::flush(o);
    });
    world.settle();
    world.cover();
    let mut answer = BytesMut::new();
    write::frame(&mut answer, b'1', |_| {});
    write::frame(&mut answer, b'2', |_| {});
    write::frame(&mut answer, b'T', |b| b.extend_from_slice(&[0; 100_000]));
    for chunk in answer.chunks(30_000) {
        world.session.target_in().extend_from_slice(chunk);
        world.turn().unwrap();
        let shown_len = world.session.outlet().to_person().len();
        world.session.outlet().wrote_person(shown_len);
    }
    assert!(
        !world.session.is_running(),
        "the answer is complete; what comes next is not shown under its permit"
    );
}

/// Feeds an answer in parts; gives what the person got.
fn feed(world: &mut World, answer: &[u8], part_len: usize) -> Vec<u8> {
    let mut got = Vec::new();
    for chunk in answer.chunks(part_len) {
        world.session.target_in().extend_from_slice(chunk);
        for _ in 0..3 {
            world.turn().unwrap();
            let shown = world.session.outlet().to_person().to_vec();
            world.session.outlet().wrote_person(shown.len());
            got.extend(shown);
        }
    }
    got
}

fn long_error() -> BytesMut {
    let mut error = BytesMut::new();
    write::frame(&mut error, b'E', |b| {
        b.extend_from_slice(b"SERROR\0VERROR\0C22012\0M");
        b.extend_from_slice(&[b'x'; 200_000]);
        b.extend_from_slice(b"\0\0");
    });
    error
}

#[test]
fn an_error_too_long_to_keep_ends_its_action_with_its_last_byte() {
    for part_len in [700, 30_000, 65_000] {
        let mut world = World::new(&[Class::Read]);
        world.target_is_stuck = true;
        world.client(|o| write::query(o, b"read 1"));
        world.settle();
        world.cover();
        let error = long_error();
        let all_but_one = error.len() - 1;
        let mut got = feed(&mut world, &error[..all_but_one], part_len);
        assert!(world.session.is_running() && world.log.len() == 1, "{:?}", world.log);
        let mut rest = error[all_but_one..].to_vec();
        rest.extend_from_slice(b"Z\0\0\0\x05I");
        got.extend(feed(&mut world, &rest, part_len));
        assert!(got.starts_with(&error) && got.ends_with(b"Z\0\0\0\x05I"), "{part_len}");
        assert_eq!(got.len(), error.len() + 6);
        assert_eq!(world.log[1], "1 failed 22012");
    }
}

#[test]
fn an_error_too_long_to_keep_skips_the_rest_of_its_batch() {
    let mut world = World::new(&[Class::Read]);
    world.target_is_stuck = true;
    world.client(|o| {
        write::parse(o, b"", b"read 1", &[]);
        write::bind(o, b"", b"", &[]);
        write::execute(o, b"", 0);
        write::sync(o);
    });
    world.settle();
    world.cover();
    let mut answer = BytesMut::from(&b"1\0\0\0\x042\0\0\0\x04"[..]);
    answer.extend_from_slice(&long_error());
    answer.extend_from_slice(b"Z\0\0\0\x05I");
    assert_eq!(feed(&mut world, &answer, 30_000), answer);
    assert_eq!(world.log[2..], ["2 failed 22012"]);
    assert!(!world.session.is_running());
}

#[test]
fn a_long_error_in_the_place_of_a_refused_action_is_ours() {
    let mut world = World::new(&[Class::Read]);
    world.target_is_stuck = true;
    world.client(|o| write::query(o, b"write 1"));
    world.settle();
    world.cover();
    let mut answer = long_error();
    answer.extend_from_slice(b"Z\0\0\0\x05I");
    let got = feed(&mut world, &answer, 30_000);
    let (frame, len) = first(Side::Back, &got).unwrap().unwrap();
    assert!(frame.tag == b'E' && len < 1_000 && got.ends_with(b"Z\0\0\0\x05I") && got.len() == len + 6);
    assert!(!world.session.is_running());
}

#[test]
fn a_long_error_between_actions_is_whole() {
    let mut world = World::new(&[Class::Read]);
    world.client(|o| write::query(o, b"read 1"));
    world.settle();
    world.cover();
    world.target_is_stuck = true;
    let error = long_error();
    let mut got = feed(&mut world, &error[..100_000], 30_000);
    world.client(|o| write::query(o, b"read 2"));
    got.extend(feed(&mut world, &error[100_000..], 30_000));
    assert_eq!(got, error);
    assert!(world.session.is_running(), "it did not end what was asked after it began");
}
