//! What keys do, and what is kept meanwhile.

use super::super::state::Pane;
use super::*;

#[test]
fn keys_that_end_it_and_keys_that_do_not() {
    let mut state = state_of(daemon(8 * GIB));
    let control = |c| KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL);
    assert_eq!(state.key(control('c')), Wish::Quit);
    assert_eq!(state.key(control('l')), Wish::Redraw);
    assert_eq!(state.key(control('q')), Wish::Nothing);
    assert_eq!(press(&mut state, KeyCode::Char('x')), Wish::Nothing);
    assert_eq!(press(&mut state, KeyCode::Char('?')), Wish::Nothing);
    assert!(state.help && shown(&state, 80, 24).contains("SIGTERM to the next victim"));
    // The first closes the help.
    assert_eq!((press(&mut state, KeyCode::Esc), state.help), (Wish::Nothing, false));
    assert_eq!(press(&mut state, KeyCode::Esc), Wish::Quit);
    assert_eq!(press(&mut state, KeyCode::Char('q')), Wish::Quit);
    state.help = true;
    assert_eq!(state.key(control('c')), Wish::Quit);
}

#[test]
fn a_pause_holds_the_picture_while_news_are_collected() {
    let mut state = paused(state_of(daemon(8 * GIB)));
    let mut news = daemon(GIB);
    news["events"] = json!([event(1, "err", "something happened")]);
    state.tick = TICK + Duration::from_secs(60);
    state.looked(Ok(look(news, Source::Daemon, state.tick)));
    let held = shown(&state, 80, 24);
    assert!(held.contains("PAUSED 03:15:02") && held.contains("50.00 %") && held.contains("space go on"), "{held}");
    assert!(!held.contains("something happened") && !held.contains("ago:") && !held.contains("nothing new"), "{held}");
    press(&mut state, KeyCode::Char(' '));
    let live = shown(&state, 80, 24);
    assert!(live.contains("6.25 %") && live.contains("something happened") && !live.contains("PAUSED"), "{live}");
}

#[test]
fn panes_scroll_to_their_ends_and_no_further() {
    let mut document = livelock();
    document["events"] = (1..=30).rev().map(|n| event(n, "info", &format!("event {n}"))).collect();
    document["cgroups"] = (0..12)
        .map(|n| json!({"path": format!("/c{n}"), "current": 1, "max": 1, "stall_percent": 1, "state": "watching"}))
        .collect();
    let mut state = state_of(document);
    let draw = |state: &mut State| {
        let (picture, most) = buffer(state, 80, 24, ALL);
        state.limit_scroll(most);
        lines_of(&picture).join("\n")
    };
    let rests = draw(&mut state);
    assert!(rests.contains("event 1\n") && rests.contains("/c0\n") && rests.contains("more above"), "{rests}");
    press(&mut state, KeyCode::Up);
    assert!(!draw(&mut state).contains("event 1\n"));
    press(&mut state, KeyCode::Char('j'));
    assert_eq!(draw(&mut state), rests);
    for _ in 0..50 {
        press(&mut state, KeyCode::PageUp);
    }
    let oldest = draw(&mut state);
    assert!(oldest.contains("event 30\n") && oldest.contains(" below"), "{oldest}");
    // However often the key was pressed at the end, one step back is one step.
    press(&mut state, KeyCode::Down);
    assert!(!draw(&mut state).contains("event 30\n"));
    press(&mut state, KeyCode::End);
    assert_eq!(draw(&mut state), rests);

    press(&mut state, KeyCode::Tab);
    assert_eq!(state.pane, Pane::Cgroups);
    press(&mut state, KeyCode::End);
    let last = draw(&mut state);
    assert!(last.contains("/c11\n") && !last.contains("/c0\n") && last.contains("event 1\n"), "{last}");
    press(&mut state, KeyCode::Home);
    assert!(draw(&mut state).contains("/c0\n"));
}

#[test]
fn events_are_kept_when_the_daemon_forgets_them_but_not_without_end() {
    let mut state = state_of(daemon(8 * GIB));
    for n in 1..500 {
        let mut document = daemon(8 * GIB);
        document["events"] = json!([event(NOW_S / 2 - n, "info", &format!("event {n}")), event(0, "info", "always")]);
        state.looked(Ok(look(document, Source::Daemon, TICK)));
    }
    let events = &state.picture().events;
    assert_eq!((events.len(), events.back().unwrap().message.as_str()), (200, "event 499"));
}
